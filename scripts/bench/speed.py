"""What each optimisation gives: time and memory with it and without it, and how far the masks agree."""

import argparse
import math
import multiprocessing
import statistics
from collections import deque
from collections.abc import Collection
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from core_factory import compile_network
from inference_core import InferenceCore
from model import NETWORKS, build_network, fitting_options
from model.checkpoint import load_network
from model.decode_window import choose_window
from model.inference_form import for_inference
from model.memory_network import MemoryNetwork
from scripts.bench.inference import fill_memory, unit_seconds
from scripts.bench.made_clip import SHIPPED, disagreement, segment_clip
from scripts.bench.plain import ENTRY, LOOK_AHEAD, MEMORY, exact_rows, without
from scripts.bench.timing import busy_share, measure
from util.device import AUTOCAST, autocast, choose_device, keep_freed_memory, peak_memory_mb

STREAMED = 8
WHOLE_FRAMES = ("dropseg", "stm_cycle")
ON_TOP = {
    "four frames at once": "--frame_batch 4",
    "bf16": "--amp bf16, the first layers of the encoders in float32",
    "bf16 throughout": "the same, the first layers in bf16 too",
    "window": "--decode_roi, around an object of a tenth of the frame",
    "bf16 and window": "both",
    "compiled": "--compile",
}


class Row(NamedTuple):
    """Seconds per frame, and of all warm-up frames; share of them that a CUDA device computes; peak MB; ids (T,H,W)."""

    seconds: float
    warmup: float
    busy: float
    peak_mb: float
    ids: np.ndarray


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
    return [Setting("all on"), Setting("plain", tuple(exact)), *left_out, *on_top, Setting("compiled", compile=True)]


@torch.inference_mode()
def measure_setting(args: argparse.Namespace, objects: int, setting: Setting) -> Row:
    """Time frames with a full memory, and segment a made clip."""
    device = choose_device(args.device)
    if MEMORY not in setting.off:
        keep_freed_memory(device)
    torch.manual_seed(0)

    def form(network: MemoryNetwork) -> MemoryNetwork:
        for_inference(network, device, amp=AUTOCAST[setting.amp], compiled=setting.compile)
        if setting.compile:
            compile_network(network)
        return network

    options = {"score_all": "scorer where used" in setting.off, "decode_roi": setting.window}
    with without(setting.off), autocast(device, setting.amp):
        network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone}))
        form(network.to(device).eval())
        timed, busy, frames = time_frames(args, objects, network, options, setting)
        peak = peak_memory_mb(device)
        shown = network if args.arch == "dropseg" else form(load_network(args.model, device))
        ids = segment_clip(shown, objects, device, options)
    kept = statistics.median(timed[args.warmup :]) / frames
    return Row(kept, sum(timed[: args.warmup]), busy, peak, ids)


def time_frames(
    args: argparse.Namespace, objects: int, network: torch.nn.Module, options: dict, setting: Setting
) -> tuple[list[float], float, int]:
    """Seconds that some frames of noise take, warm-up included; the busy share of a CUDA device, nan on others; frames.

    What is worth decoding is where the given masks are. A CUDA device is given several frames before it is waited for.
    """
    device = choose_device(args.device)
    if network.policy is None:
        options = {**options, "capacity": args.memory_frames, "policy": "latest"}
    core = InferenceCore(network, **options)
    image, masks = torch.randn(3, *args.size, device=device), ordinary_masks(objects, args.size, device)
    core.step(image, masks)
    if network.policy is None:
        fill_memory(core, args.memory_frames)

    def where_given(evidence: Tensor, previous: Tensor) -> object:
        given = torch.nn.functional.adaptive_max_pool2d(masks[None], evidence.shape[-2:])
        return choose_window(given, torch.zeros_like(previous))

    on_cuda = device.type == "cuda"
    images = image.repeat(max(setting.frames, STREAMED if on_cuda else 1), 1, 1, 1)
    if setting.frames > 1:
        work = partial(step_together, core, images, setting.frames)
    else:
        work = partial(step_each, core, list(images), ahead=on_cuda and LOOK_AHEAD not in setting.off)
    with patch("model.object_steps.choose_window", where_given):
        timed = [measure(work, device)[0] for _ in range(args.warmup + args.repeats)]
        return timed, busy_share(work, device) if on_cuda else math.nan, len(images)


def step_together(core: InferenceCore, images: Tensor, frames: int) -> None:
    """Segment images (F,3,H,W), some at once."""
    for part in images.split(frames):
        deque(core.steps(part), 0)


def step_each(core: InferenceCore, images: list[Tensor], *, ahead: bool) -> None:
    """Segment images (3,H,W) in their turn, the next one encoded before if wanted."""
    for image, coming in zip_longest(images, images[1:]):
        if ahead and coming is not None:
            core.prepare(coming)
        core.step(image)


def ordinary_masks(objects: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Upright boxes side by side in the middle, a tenth of the frame together (K,H,W)."""
    height, width = size
    masks = torch.zeros(objects, height, width, device=device)
    side = int((height * width * 0.1 / objects) ** 0.5)
    for k in range(objects):
        left = width // 2 + (2 * k - objects) * side // 2
        masks[k, (height - side) // 2 : (height + side) // 2, left : left + side] = 1
    return masks


def median_row(rows: list[Row]) -> Row:
    """The median of each figure over rounds."""
    *figures, ids = zip(*rows, strict=True)
    return Row(*map(statistics.median, figures), ids[-1])


def print_table(args: argparse.Namespace, objects: int, rows: dict[str, Row], unit: float) -> None:
    """One line for each setting, beside all on."""
    best = rows["all on"]
    size = f"{args.size[0]}x{args.size[1]}"
    print(f"\n{args.arch} {args.backbone}, {objects} objects, {size}, {args.memory_frames} frames; unit {unit:.3f} s")
    print(f"{'':28}{'s/frame':>9}{'units':>8}{'of all on':>11}{'warm-up s':>11}{'busy':>7}{'peak MB':>9}{'pixels':>10}")
    for name, row in rows.items():
        apart = 100 * disagreement(row.ids, best.ids)
        ratio = row.seconds / best.seconds
        units = row.seconds / unit
        busy = "" if math.isnan(row.busy) else f"{row.busy:.0%}"
        times = f"{row.seconds:9.4f}{units:8.2f}{ratio:11.2f}{row.warmup:11.2f}{busy:>7}"
        print(f"{name:28}{times}{row.peak_mb:9.0f}{apart:9.3f}%", flush=True)


def run_round(args: argparse.Namespace, objects: int, chosen: Collection[Setting]) -> tuple[float, dict[str, Row]]:
    """Seconds of the unit, and a row for every setting; each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        unit = pool.apply(unit_seconds, (args, choose_device(args.device)))
    rows = {}
    for setting in chosen:
        with spawn.Pool(1) as pool:
            rows[setting.name] = pool.apply(measure_setting, (args, objects, setting))
    return unit, rows


def run(args: argparse.Namespace) -> None:
    """A table for each number of objects."""
    device = choose_device(args.device)
    chosen = [s for s in settings(args.arch, device) if _wanted(s, args.only)]
    for name, published in exact_rows(args.arch, device).items():
        print(f"{name}: instead of {published}")
    for name, option in ON_TOP.items():
        if name in {setting.name for setting in chosen}:
            print(f"{name}: on top {option}")
    for objects in args.objects:
        rounds = [run_round(args, objects, chosen) for _ in range(args.rounds)]
        unit = statistics.median(unit for unit, _ in rounds)
        rows = {setting.name: median_row([rows[setting.name] for _, rows in rounds]) for setting in chosen}
        print_table(args, objects, rows, unit)


def _wanted(setting: Setting, only: Collection[str]) -> bool:
    """Compiling takes minutes, so it must be named."""
    if not only:
        return not setting.compile
    return setting.name == "all on" or any(name in setting.name for name in only)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py speed`."""
    command.add_argument("--arch", choices=NETWORKS, default="qdmn")
    command.add_argument("--backbone", default="resnet50")
    command.add_argument(
        "--model", type=Path, default=SHIPPED, help="whose masks are compared (%(default)s); DropSeg's are its own"
    )
    command.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    command.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--memory_frames", type=int, default=20)
    command.add_argument("--rounds", type=int, default=1, help="how often every setting has its turn (%(default)s)")
    command.add_argument("--only", nargs="+", default=[], metavar="NAME", help="settings whose name holds one of these")
