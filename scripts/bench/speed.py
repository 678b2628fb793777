"""What each optimisation gives: time and memory with it and without it, and how far the masks agree."""

import argparse
import math
import statistics
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.clips import make_clip
from evaluation.arguments import SHIPPED
from evaluation.averaging import AveragingCore, View
from evaluation.cores import compile_network
from inference.chunks import choose_window
from inference.fast_form import for_inference
from inference_core import InferenceCore, Stream
from model import NETWORKS, build_network, fitting_options
from model.dropseg import DropSeg
from model.droptrack import DropTrack
from model.layers.resnet import BACKBONES
from model.layers.vit import SIZES
from model.memory.options import DAVIS_MEMORY, MemoryOptions
from model.memory_network import MemoryNetwork
from model.weights.checkpoint import load_network
from scripts.bench import tracking
from scripts.bench.inference import fill_memory, unit_work
from scripts.bench.measuring import Turns, busy_share, disagreement, measure
from scripts.bench.plain import ENTRY, MEMORY, exact_rows, without
from util.device import AUTOCAST, allow_tf32, autocast, choose_device, keep_freed_memory, peak_memory_mb
from util.errors import InputError
from util.numbers import pixels, positive
from util.tensors import normalise, one_hot

STREAMED = 8  # frames that a CUDA device is given before it is waited for
CLIP_SIZE = (240, 432)
ALL_ON = "all on"
ON_TOP = {
    "four frames at once": "--frame_batch 4",
    "bf16": "--amp bf16, the first layers of the encoders in float32",
    "bf16 throughout": "the same, the first layers in bf16 too",
    "window": "--decode_roi, around an object of a tenth of the frame",
    "bf16 and window": "both",
    "two sizes": "--scales 1 0.5 --weigh_by_size",
    "fused read": "--fused_read, on CUDA devices",
    "encoded ahead": "--look_ahead, on CUDA devices",
    "tf32": "--tf32, on CUDA devices",
    "compiled": "--compile",
}


class Setting(NamedTuple):
    """Which exact optimisations are off, and which inexact ones are on."""

    name: str
    off: tuple[str, ...] = ()
    amp: str = "off"
    window: bool = False
    frames: int = 1
    fused: bool = False
    ahead: bool = False
    tf32: bool = False
    compile: bool = False
    scales: tuple[float, ...] = (1.0,)

    def new_core(
        self, network: MemoryNetwork, memory: MemoryOptions, options: dict[str, Any]
    ) -> InferenceCore | AveragingCore:
        """A core, or one for each size."""
        make = partial(InferenceCore, network, memory, **options)
        return make() if len(self.scales) == 1 else AveragingCore(make, [View(x) for x in self.scales], by_size=True)


def settings(arch: str, device: torch.device) -> list[Setting]:
    """All on, all off, each one off; then those that somebody has to ask for on top of all."""
    exact = exact_rows(arch, device)
    on_top = [Setting("bf16", amp="bf16")]
    if arch == DropSeg.arch:
        on_top.insert(0, Setting("four frames at once", frames=4))
    else:
        on_top.append(Setting("bf16 throughout", (ENTRY,), amp="bf16"))
        on_top.append(Setting("two sizes", scales=(1.0, 0.5)))
    if NETWORKS[arch].decodes_windows:
        on_top += [Setting("window", window=True), Setting("bf16 and window", amp="bf16", window=True)]
    if device.type == "cuda":
        on_top += [Setting("fused read", fused=True)] * NETWORKS[arch].reads_by_affinity
        on_top += [Setting("encoded ahead", ahead=True), Setting("tf32", tf32=True)]
    left_out = [Setting(f"without {name}", (name,)) for name in exact]
    return [Setting(ALL_ON), Setting("plain", tuple(exact)), *left_out, *on_top, Setting("compiled", compile=True)]


def wanted(setting: Setting, only: Collection[str]) -> bool:
    """Whether `--only` asks for it; compiling takes minutes, so it must be named."""
    if not only:
        return not setting.compile
    return setting.name == ALL_ON or any(name in setting.name for name in only)


class Observed(NamedTuple):
    """Share of the time in which a CUDA device computes, nan on others; peak MB; ids (T,H,W) of a made clip."""

    busy: float
    peak_mb: float
    ids: np.ndarray


class Row(NamedTuple):
    """Seconds per frame; beside those of all on in the same turns; of the warm-up; what else was observed."""

    seconds: float
    ratio: float
    warmup: float
    observed: Observed


def timed_unit(args: argparse.Namespace) -> Generator[float, bool, None]:
    """Yields the seconds of the warm-up, then at each turn those of the unit."""
    device = choose_device(args.device)
    with torch.inference_mode():
        work = unit_work(args, device)
        yield sum(measure(work, device)[0] for _ in range(args.warmup))
        while True:
            yield measure_again(work, device)


def timed_setting(args: argparse.Namespace, objects: int, setting: Setting) -> Generator[float | Observed, bool, None]:
    """Yields the seconds of the warm-up, at each turn those of a frame with a full memory, at last what is observed."""
    device = choose_device(args.device)
    if MEMORY not in setting.off:
        keep_freed_memory(device)
    allow_tf32(setting.tf32)
    torch.manual_seed(0)

    def form(network: MemoryNetwork) -> MemoryNetwork:
        for_inference(network, device, amp=AUTOCAST[setting.amp], compiled=setting.compile)
        if setting.compile:
            compile_network(network)
        return network

    options = {
        "score_all": "scorer where used" in setting.off,
        "decode_roi": setting.window,
        "fused_read": setting.fused,
    }
    with torch.inference_mode(), without(setting.off), autocast(device, setting.amp):
        network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone}))
        form(network.to(device).eval())
        work, frames = frame_work(args, objects, network, options, setting)
        again = yield sum(measure(work, device)[0] for _ in range(args.warmup))
        while again:
            again = yield measure_again(work, device) / frames
        busy = busy_share(work, device) if device.type == "cuda" else math.nan
        peak = peak_memory_mb(device)
        shown = network if args.arch == DropSeg.arch else form(load_network(args.model, device))
        core = setting.new_core(shown, DAVIS_MEMORY, options)
        yield Observed(busy, peak, segment_clip(core, args.compared_frames, objects, device))


def measure_again(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of some work done twice, the second time: by then caches and threads have come back from others."""
    work()
    return measure(work, device)[0]


def frame_work(
    args: argparse.Namespace, objects: int, network: MemoryNetwork, options: dict[str, Any], setting: Setting
) -> tuple[Callable[[], None], int]:
    """Segmenting some frames of noise with a full memory, and how many.

    What is worth decoding is where the given masks are. A CUDA device is given several frames before it is waited for.
    """
    device = choose_device(args.device)
    filled = MemoryOptions(policy="latest", capacity=args.memory_frames)
    core = setting.new_core(network, filled if network.policy is None else DAVIS_MEMORY, options)
    image, masks = torch.randn(3, *args.size, device=device), ordinary_masks(objects, args.size, device)
    core.step(image, masks)
    if network.policy is None:
        for one in core.cores if isinstance(core, AveragingCore) else [core]:
            fill_memory(one, args.memory_frames)

    def where_given(coverage: Tensor, previous: Tensor) -> object:
        given = torch.nn.functional.adaptive_max_pool2d(masks[None], coverage.shape[-2:])
        return choose_window(given, torch.zeros_like(previous))

    on_cuda = device.type == "cuda"
    images = image.repeat(max(setting.frames, STREAMED if on_cuda else 1), 1, 1, 1)

    def work() -> None:
        with patch("inference.chunks.choose_window", where_given):
            if setting.frames > 1:
                step_together(core, images, setting.frames)
            else:
                step_each(core, list(images), ahead=setting.ahead)

    return work, len(images)


def step_together(core: Stream, images: Tensor, frames: int) -> None:
    """Segment images (F,3,H,W), some at once."""
    for part in images.split(frames):
        deque(core.steps(part), 0)


def step_each(core: Stream, images: list[Tensor], *, ahead: bool) -> None:
    """Segment images (3,H,W) in their turn, the next one encoded before if wanted."""
    for image, coming in zip_longest(images, images[1:]):
        if ahead and coming is not None:
            core.prefetch(coming)
        core.step(image)


def segment_clip(core: Stream, frames: int, objects: int, device: torch.device) -> np.ndarray:
    """Ids (T,H,W) of a made clip, each object given on its first frame."""
    rgb, ids = make_clip(0, frames, *CLIP_SIZE, objects)
    first = one_hot(ids[0], list(range(1, objects + 1))).to(device)
    steps = (core.step(normalise(image).to(device), first if t == 0 else None) for t, image in enumerate(rgb))
    return np.stack([step.argmax(0).byte().cpu().numpy() for step in steps])


def ordinary_masks(objects: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Upright boxes side by side in the middle, a tenth of the frame together (K,H,W)."""
    height, width = size
    masks = torch.zeros(objects, height, width, device=device)
    side = int((height * width * 0.1 / objects) ** 0.5)
    for k in range(objects):
        left = width // 2 + (2 * k - objects) * side // 2
        masks[k, (height - side) // 2 : (height + side) // 2, left : left + side] = 1
    return masks


class Table(NamedTuple):
    """Seconds of the unit, units that all on takes, and a row for every setting."""

    unit: float
    units: float
    rows: dict[str, Row]


def print_table(args: argparse.Namespace, objects: int, table: Table) -> None:
    """One line for each setting, beside all on."""
    size = f"{args.size[0]}x{args.size[1]}, {args.memory_frames} frames; unit {table.unit:.3f} s"
    print(f"\n{args.arch} {args.backbone}, {objects} objects, {size}")
    print(f"{'':28}{'s/frame':>9}{'units':>8}{'of all on':>11}{'warm-up s':>11}{'busy':>7}{'peak MB':>9}{'pixels':>10}")
    for name, row in table.rows.items():
        busy, peak, ids = row.observed
        apart = 100 * disagreement(ids, table.rows[ALL_ON].observed.ids)
        times = f"{row.seconds:9.4f}{row.ratio * table.units:8.2f}{row.ratio:11.2f}{row.warmup:11.2f}"
        print(f"{name:28}{times}{'' if math.isnan(busy) else f'{busy:.0%}':>7}{peak:9.0f}{apart:9.3f}%", flush=True)


def measure_table(args: argparse.Namespace, objects: int, chosen: Sequence[Setting]) -> Table:
    """The unit, all on (the first setting) and one more setting at a time work in turns."""
    units, bests, rows = [], [], {}
    with Turns(timed_unit, args) as unit, Turns(timed_setting, args, objects, chosen[0]) as best:
        for setting in chosen[1:]:
            with Turns(timed_setting, args, objects, setting) as other:
                turns = [(unit.next(), best.next(), other.next()) for _ in range(args.repeats)]
                seconds = statistics.median(theirs for *_, theirs in turns)
                ratio = statistics.median(theirs / ours for _, ours, theirs in turns)
                rows[setting.name] = Row(seconds, ratio, other.first, other.last())
            units += [once for once, *_ in turns]
            bests += [ours for _, ours, _ in turns]
        first = Row(statistics.median(bests), 1.0, best.first, best.last())
    taken = statistics.median(ours / once for ours, once in zip(bests, units, strict=True))
    return Table(statistics.median(units), taken, {ALL_ON: first, **rows})


def run(args: argparse.Namespace) -> None:
    """A table for each number of objects; one for a box tracker."""
    if args.arch == DropTrack.arch:
        tracking.run(args)
        return
    args.model = args.model or SHIPPED
    args.backbone = args.backbone or "resnet50"
    device = choose_device(args.device)
    chosen = [s for s in settings(args.arch, device) if wanted(s, args.only)]
    if len(chosen) == 1:
        raise InputError(f"--only {' '.join(args.only)}: no setting is named so; leave it out to see them all")
    if args.arch != DropSeg.arch:
        # Only to find a wrong file now; it is needed after minutes of timing.
        load_network(args.model, torch.device("cpu"))
    for name, published in exact_rows(args.arch, device).items():
        print(f"{name}: instead of {published}")
    for name, option in ON_TOP.items():
        if name in {setting.name for setting in chosen}:
            print(f"{name}: on top {option}")
    for objects in args.objects:
        print_table(args, objects, measure_table(args, objects, chosen))


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py speed`."""
    command.add_argument("--arch", choices=(*NETWORKS, DropTrack.arch), default="qdmn")
    command.add_argument("--backbone", choices=(*BACKBONES, *SIZES), help="(resnet50, of trackers vit_b16)")
    command.add_argument(
        "--model", type=Path, help="whose masks or boxes are compared (the network that ships; DropSeg's are its own)"
    )
    command.add_argument("--objects", type=positive, nargs="+", default=[1, 3])
    command.add_argument("--size", type=pixels, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--memory_frames", type=positive, default=20)
    command.add_argument(
        "--compared_frames", type=positive, default=16, help="frames of the made clip whose masks are compared"
    )
    command.add_argument("--only", nargs="+", default=[], metavar="NAME", help="settings whose name holds one of these")
