"""What each optimisation gives a box tracker: time and memory with it and without it, and how far the boxes agree."""

import argparse
import statistics
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import torch

from datasets.boxes.boxes import Box, box_of_mask
from datasets.synthetic.clips import make_clip
from evaluation.boxes.tracker import BoxTracker
from model.droptrack import DropTrack
from model.weights.checkpoint import load_tracker
from scripts.bench.measuring import Turns, measure
from scripts.bench.plain import MEMORY, exact_rows, without
from util.device import choose_device, keep_freed_memory, peak_memory_mb
from util.errors import InputError

ALL_ON = "all on"
BACKBONE = "vit_b16"
ON_TOP = {
    "nothing eliminated": "--keep_rate 1",
    "bf16": "--amp bf16",
    "plain, nothing eliminated": "as published, --keep_rate 1",
}


class Setting(NamedTuple):
    """Which exact optimisations are off, and what differs besides."""

    name: str
    off: tuple[str, ...] = ()
    amp: str = "off"
    keep_rate: float | None = None


class Row(NamedTuple):
    """Seconds per frame; beside those of all on in the same turns; peak MB; boxes (T,4) of a made clip."""

    seconds: float
    ratio: float
    peak_mb: float
    boxes: np.ndarray


def settings(device: torch.device) -> list[Setting]:
    """All on, all off, each one off, then what changes results."""
    exact = tuple(exact_rows(DropTrack.arch, device))
    return [
        Setting(ALL_ON),
        Setting("plain", exact),
        *(Setting(f"without {name}", (name,)) for name in exact),
        Setting("bf16", amp="bf16"),
        Setting("nothing eliminated", keep_rate=1.0),
        Setting("plain, nothing eliminated", exact, keep_rate=1.0),
    ]


def timed_tracker(
    args: argparse.Namespace, setting: Setting
) -> Generator[float | tuple[float, np.ndarray], bool, None]:
    """Yields the seconds of a first frame, at each turn those of a frame, at last peak memory and boxes."""
    device = choose_device(args.device)
    if MEMORY not in setting.off:
        keep_freed_memory(device)
    frames, boxes = made_video(args)
    with without(setting.off):
        tracker = BoxTracker(network_of(args, device), device, amp=setting.amp, keep_rate=setting.keep_rate)
        tracker.start(frames[0], boxes[0])

        def work() -> Box:
            tracker.box = boxes[0]
            return tracker.step(frames[1])

        again = yield sum(measure(work, device)[0] for _ in range(max(1, args.warmup)))
        while again:
            work()
            again = yield measure(work, device)[0]
        found = []
        for t in range(1, len(frames)):
            tracker.box = boxes[t - 1]
            found.append(tracker.step(frames[t]))
        yield peak_memory_mb(device), np.array(found)


def network_of(args: argparse.Namespace, device: torch.device) -> DropTrack:
    """The tracker of --model, or one with first weights."""
    if args.model is not None:
        return load_tracker(args.model, device)
    torch.manual_seed(0)
    return DropTrack(backbone=args.backbone or BACKBONE).to(device).eval()


def made_video(args: argparse.Namespace) -> tuple[np.ndarray, list[Box]]:
    """Frames (T,H,W,3) of a made clip and the box of its first object in each; where it is gone, the one before."""
    height, width = args.size
    rgb, ids = make_clip(0, args.compared_frames, height, width, 1)
    boxes: list[Box] = []
    for mask in ids == 1:
        boxes.append(box_of_mask(mask) or boxes[-1])
    return rgb, boxes


def print_table(args: argparse.Namespace, rows: dict[str, Row]) -> None:
    """One line for each setting, beside all on and beside the published way."""
    if args.model is None:
        print("\nfirst weights: scores are nearly flat, so that boxes of inexact settings tell nothing; pass --model")
    print(f"\n{args.model or args.backbone or BACKBONE}, frames of {args.size[0]}x{args.size[1]}")
    print(f"{'':36}{'s/frame':>9}{'of all on':>11}{'of plain':>10}{'peak MB':>9}{'boxes apart, pixels':>21}")
    plain = rows["plain"].ratio if "plain" in rows else float("nan")
    for name, row in rows.items():
        apart = np.abs(row.boxes - rows[ALL_ON].boxes).max()
        print(f"{name:36}{row.seconds:9.4f}{row.ratio:11.2f}{row.ratio / plain:10.2f}{row.peak_mb:9.0f}{apart:21.5f}")


def run(args: argparse.Namespace) -> None:
    """All on and one other setting at a time take turns."""
    device = choose_device(args.device)
    first, *others = settings(device)
    chosen = [other for other in others if not args.only or any(name in other.name for name in args.only)]
    if not chosen:
        raise InputError(f"--only {' '.join(args.only)}: no setting is named so; leave it out to see them all")
    for name, published in exact_rows(DropTrack.arch, device).items():
        print(f"{name}: instead of {published}")
    for name, option in ON_TOP.items():
        print(f"{name}: {option}")
    rows: dict[str, Row] = {}
    bests: list[float] = []
    with Turns(timed_tracker, args, first) as best:
        for setting in chosen:
            with Turns(timed_tracker, args, setting) as other:
                turns = [(best.next(), other.next()) for _ in range(args.repeats)]
                ratio = statistics.median(theirs / ours for ours, theirs in turns)
                rows[setting.name] = Row(statistics.median(theirs for _, theirs in turns), ratio, *other.last())
            bests += [ours for ours, _ in turns]
            print(f"{setting.name}: {ratio:.2f} of {ALL_ON}", flush=True)
        rows = {ALL_ON: Row(statistics.median(bests), 1.0, *best.last()), **rows}
    print_table(args, rows)
