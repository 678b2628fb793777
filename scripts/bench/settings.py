"""The settings of the product whose speed is measured."""

from collections.abc import Collection
from typing import NamedTuple

import torch

from scripts.bench.plain import ENTRY, exact_rows

ALL_ON = "all on"
WHOLE_FRAMES = ("dropseg", "stm_cycle")
ON_TOP = {
    "four frames at once": "--frame_batch 4",
    "bf16": "--amp bf16, the first layers of the encoders in float32",
    "bf16 throughout": "the same, the first layers in bf16 too",
    "window": "--decode_roi, around an object of a tenth of the frame",
    "bf16 and window": "both",
    "compiled": "--compile",
}


class Setting(NamedTuple):
    """Which exact optimisations are off, and which inexact ones are on."""

    name: str
    off: tuple[str, ...] = ()
    amp: str = "off"
    window: bool = False
    frames: int = 1
    compile: bool = False


def settings(arch: str, device: torch.device) -> list[Setting]:
    """All on, all off, each one off; then those that somebody has to ask for on top of all."""
    exact = exact_rows(arch, device)
    on_top = [Setting("bf16", amp="bf16")]
    if arch == "dropseg":
        on_top.insert(0, Setting("four frames at once", frames=4))
    else:
        on_top.append(Setting("bf16 throughout", (ENTRY,), amp="bf16"))
    if arch not in WHOLE_FRAMES:
        on_top += [Setting("window", window=True), Setting("bf16 and window", amp="bf16", window=True)]
    left_out = [Setting(f"without {name}", (name,)) for name in exact]
    return [Setting(ALL_ON), Setting("plain", tuple(exact)), *left_out, *on_top, Setting("compiled", compile=True)]


def wanted(setting: Setting, only: Collection[str]) -> bool:
    """Whether `--only` asks for it; compiling takes minutes, so it must be named."""
    if not only:
        return not setting.compile
    return setting.name == ALL_ON or any(name in setting.name for name in only)
