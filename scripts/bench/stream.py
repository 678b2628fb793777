"""Whether memory and time stay flat over a long video: made videos of several lengths, each in a process of its own."""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.clips import SyntheticClip
from evaluation.arguments import SHIPPED
from evaluation.report.plots import figure, object_colour
from inference.fast_form import for_inference
from inference_core_yv import InferenceCoreYV
from model.memory.options import GATES, YOUTUBE_MEMORY
from model.weights.checkpoint import load_network
from util.device import AUTOCAST, autocast, choose_device, keep_freed_memory, peak_memory_mb, synchronise
from util.numbers import pixels, positive, whole
from util.tensors import normalise, one_hot

PARTS = 10
ARRIVAL_STEP = 10

Curve = Sequence[tuple[float, float]]


class StreamFigures(NamedTuple):
    """Median seconds per frame in each tenth of a video, and peak memory in MB."""

    seconds: list[float]
    peak_mb: float


def frames(args: argparse.Namespace, objects: int, length: int) -> Iterator[tuple[Tensor, Tensor | None, list[int]]]:
    """Frames (3,H,W) with the masks (J,H,W) and ids of the objects that appear on them."""
    firsts = [0] * objects + [ARRIVAL_STEP * (k + 1) for k in range(args.late)]
    height, width = args.size
    clip = SyntheticClip(0, height, width, len(firsts), first_frames=firsts)
    for number in range(length):
        rgb, ids = clip.frame(number)
        new = [k for k, first in enumerate(firsts, start=1) if first == number]
        yield normalise(rgb), one_hot(ids, new) if new else None, new


@torch.inference_mode()
def stream_figures(args: argparse.Namespace, objects: int, length: int) -> StreamFigures:
    """Segment a video, timing the core alone."""
    device = choose_device(args.device)
    keep_freed_memory(device)
    network = for_inference(load_network(args.model, device), device, amp=AUTOCAST[args.amp])
    core = InferenceCoreYV(network, replace(YOUTUBE_MEMORY, policy=args.memory, gate=args.gate), score_all=False)
    seconds = []
    for image, masks, new in frames(args, objects, length):
        image, masks = image.to(device), None if masks is None else masks.to(device)
        start = time.perf_counter()
        with autocast(device, args.amp):
            core.step(image, masks, new or None)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    parts = [statistics.median(part) for part in np.array_split(seconds, min(PARTS, length))]
    return StreamFigures(parts, peak_memory_mb(device))


def run(args: argparse.Namespace) -> None:
    """Print a row for each length; a plot shows the times of the last one."""
    spawn = multiprocessing.get_context("spawn")
    height, width = args.size
    times: dict[str, Curve] = {}
    peaks: dict[str, list[tuple[float, float]]] = {}
    for objects in args.objects:
        print(f"{args.model}, {height}x{width}, {objects} objects and {args.late} later ones, amp {args.amp}")
        print("frames   peak MB   ms per frame in each tenth of the video")
        name = f"{objects} objects"
        for length in args.frames:
            with spawn.Pool(1) as pool:
                figures = pool.apply(stream_figures, (args, objects, length))
            row = "".join(f"{1000 * value:7.0f}" for value in figures.seconds)
            print(f"{length:6d}{figures.peak_mb:10.0f}  {row}", flush=True)
            step = length / len(figures.seconds)
            times[name] = [((k + 0.5) * step, 1000 * value) for k, value in enumerate(figures.seconds)]
            peaks.setdefault(name, []).append((length, figures.peak_mb))
    if args.plot:
        draw_stream(args.plot, times, peaks)


def draw_stream(path: Path, times: Mapping[str, Curve], peaks: Mapping[str, Curve]) -> None:
    """Write the picture.

    Args:
        path: of the PNG.
        times: (frame, milliseconds) for each video.
        peaks: (frames of the video, MB) for each number of objects; a name of both is one colour.
    """
    names = list(dict.fromkeys((*times, *peaks)))
    panels = (("milliseconds per frame", "frame", times), ("peak memory, MB", "frames of the video", peaks))
    with figure(path, 980, 380) as drawn:
        for axes, (title, unit, curves) in zip(drawn.subplots(1, 2), panels, strict=True):
            for name, curve in curves.items():
                axes.plot(*zip(*curve, strict=True), color=object_colour(1 + names.index(name)), label=name)
            axes.set(title=title, xlabel=unit, xlim=0, ylim=0)
            axes.set_ylim(0, 1.2 * axes.dataLim.ymax)
        shown = {
            label: handle
            for axes in drawn.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        drawn.legend(shown.values(), shown, loc="outside upper left", ncols=4)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py stream`."""
    add = command.add_argument
    add("--model", type=Path, default=SHIPPED)
    add("--frames", type=positive, nargs="+", default=[300, 3000], help="lengths of the videos (%(default)s)")
    add("--objects", type=positive, nargs="+", default=[2], help="objects on the first frame (%(default)s)")
    add("--plot", type=Path, metavar="PNG", help="draw it")
    add("--late", type=whole(0), default=0, help="objects that appear later, one each 10 frames (%(default)s)")
    add("--size", type=pixels, nargs=2, metavar=("H", "W"), default=[240, 432])
    add("--memory", choices=("quality", "latest", "every"), default="quality")
    add("--gate", choices=GATES, default="mean")
    add("--amp", choices=AUTOCAST, default="off")
