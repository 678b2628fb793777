"""Track by what needs no weights, to compare trackers with: the first box kept, and OpenCV's MIL.

    python scripts/track_baselines.py --dataset otb --root data/otb --output output/baselines
    python scripts/analyse_boxes.py --dataset otb --root data/otb --results output/droptrack output/baselines/*

MIL (Babenko, Yang and Belongie, CVPR 2009) is the one tracker of OpenCV's main modules that needs no network; the one
with correlation filters (CSRT) is used too where OpenCV has it, as its contrib build does. Results are as those of
eval_boxes.py.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import cv2
import numpy as np

from datasets.boxes.boxes import Box
from datasets.boxes.dataset import BoxDataset
from datasets.boxes.trees import BOX_SETS, open_tree
from datasets.test.annotated_video import AnnotatedVideo, read_ahead
from evaluation.arguments import add_list_arguments
from evaluation.boxes.results import TrackWriter
from evaluation.writers import Result
from util.errors import InputError, run
from util.files import atomic_folder, make_output_folder
from util.progress import Progress

Follow = Callable[[np.ndarray, Box], Callable[[np.ndarray], Box | None]]


def keep_first(frame: np.ndarray, box: Box) -> Callable[[np.ndarray], Box | None]:
    """The first box in every frame."""
    return lambda later: box


def opencv(create: Callable[[], cv2.Tracker]) -> Follow:
    """A tracker of OpenCV, which takes whole pixels and BGR; None where it finds nothing."""

    def follow(frame: np.ndarray, box: Box) -> Callable[[np.ndarray], Box | None]:
        tracker = create()
        cv2.setRNGSeed(0)
        tracker.init(np.ascontiguousarray(frame[..., ::-1]), [max(0, round(number)) for number in box])

        def step(later: np.ndarray) -> Box | None:
            found, (x, y, width, height) = tracker.update(np.ascontiguousarray(later[..., ::-1]))
            return (float(x), float(y), float(width), float(height)) if found else None

        return step

    return follow


def baselines() -> dict[str, Follow]:
    """Those that this OpenCV has, by name."""
    found: dict[str, Follow] = {"first_box": keep_first, "mil": opencv(cv2.TrackerMIL.create)}
    if hasattr(cv2, "TrackerCSRT"):
        found["csrt"] = opencv(cv2.TrackerCSRT.create)
    return found


def track(video: AnnotatedVideo, box: Box, follow: Follow, folder: Path) -> None:
    """Track through a video; its folder appears when the results are complete.

    Raises:
        InputError: a frame cannot be read.
    """
    source = video.source
    nothing = np.zeros(source.size, np.uint8)
    step = keep_first(nothing, box)
    with atomic_folder(folder) as partial, TrackWriter(partial, video.name, box) as writer:
        for index, pixels in enumerate(read_ahead(source.load, source.items(0, len(source.names)))):
            begin = time.perf_counter()
            if index == 0:
                step = follow(pixels, box)
            found = step(pixels) if index else box
            seconds = time.perf_counter() - begin
            writer.add(Result(index, source.names[index], pixels, nothing, seconds=seconds, box=found))


def main() -> None:
    """Parse, track."""
    names = baselines()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=BOX_SETS, required=True, help="what to track")
    parser.add_argument("--root", type=Path, help="of the dataset (data/lasot, data/got10k, ...)")
    parser.add_argument("--output", type=Path, required=True, help="new folder for <tracker>/<video>/")
    parser.add_argument("--trackers", nargs="+", choices=names, default=[*names], help="(all)")
    add_list_arguments(parser)
    args = parser.parse_args()
    dataset = BoxDataset(open_tree(args.dataset, args.root or BOX_SETS[args.dataset], args.list, args.videos))
    make_output_folder(args.output)
    if any(args.output.iterdir()):
        raise InputError(f"output folder {args.output} is not empty; choose another one")
    with Progress(len(args.trackers) * len(dataset)) as progress:
        for tracker in args.trackers:
            make_output_folder(args.output / tracker)
            for video in dataset:
                track(video, dataset.boxes[video.name], names[tracker], args.output / tracker / video.name)
                progress.advance(f"{tracker} {video.name}")
    print(f"tracked {len(dataset)} videos by {', '.join(args.trackers)} into {args.output}")


if __name__ == "__main__":
    run(main)
