"""What a long video asks of the memory: the same network with several policies, at equal memory.

    python scripts/compare_memory.py --frames data/DAVIS/2016/JPEGImages/480p --binary \\
        --annotations data/DAVIS/2016/Annotations/480p --videos blackswan horsejump-high libby --output output/memory

Annotated videos are played forwards and backwards in turns until they are long. `every` keeps as many frames as the
others, spread over the whole video, which only somebody who knows its length can do. Writes J over time as a plot and
the means as a table.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.frame_files import read_frame
from datasets.mask_files import drop_void, list_pairs, read_foreground, read_ids
from evaluation.arguments import SHIPPED
from evaluation.metrics import jaccard
from evaluation.report.plots import figure, legend_above
from evaluation.scoring import align, write_rows
from predictor import VideoPredictor
from util.errors import InputError, run
from util.files import make_output_folder
from util.numbers import pixels, positive, whole
from util.progress import Progress

POLICIES = {"quality": "#0072b2", "latest": "#d55e00", "every": "#3c8c50"}  # with their colours
WINDOW = 25  # frames that a point of the plot is the mean of


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--frames", type=Path, required=True, help="folder with a folder of frames for each video")
    add("--annotations", type=Path, required=True, help="folder with a folder of PNG masks for each video")
    add("--videos", nargs="+", required=True, help="their names")
    add("--model", type=Path, default=SHIPPED, help="checkpoint (the one that ships)")
    add("--output", type=Path, required=True, help="folder of the plot and the table")
    add(
        "--turns",
        type=positive,
        default=6,
        help="how often a video is played, forwards and backwards in turn (default 6)",
    )
    add("--capacity", type=positive, default=10, help="predicted frames kept (default 10)")
    add("--mem_every", type=positive, default=5, help="frames between candidates (default 5)")
    add("--binary", action="store_true", help="take all labels above 0 as one object (DAVIS 2016)")
    add("--size", type=pixels, help="most pixels of the shorter side")
    add("--amp", choices=("off", "bf16", "fp16"), default="off", help="automatic mixed precision (default off)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    add("--first", type=whole(0), default=0, help="position of the frame whose mask is given (default 0)")
    return parser.parse_args()


def to_and_fro(length: int, turns: int, first: int = 0) -> list[int]:
    """Positions of a video that is played forwards and backwards in turn, its ends not repeated.

    Args:
        length: frames of the video.
        turns: how often it is played.
        first: position where it begins.
    """
    one_way = list(range(first, length))
    positions = one_way[:1]
    for turn in range(turns):
        positions += (one_way if turn % 2 == 0 else one_way[::-1])[1:]
    return positions


class LongVideo:
    """An annotated video played to and fro.

    Args:
        name, frames, annotations: of the video, and the folders of all videos.
        turns, first: see `to_and_fro`.
        binary: take all labels above 0 as one object.

    Raises:
        InputError: frames and masks do not make a video of two frames.
    """

    def __init__(self, name: str, frames: Path, annotations: Path, *, turns: int, first: int, binary: bool) -> None:
        self.name, self.binary = name, binary
        self.pairs = list_pairs(frames / name, annotations / name)
        if len(self.pairs) < first + 2:
            raise InputError(
                f"{frames / name} has {len(self.pairs)} frames with masks in {annotations / name}; give another"
            )
        self.positions = to_and_fro(len(self.pairs), turns, first)

    def __len__(self) -> int:
        """Frames of the long video."""
        return len(self.positions)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each frame, RGB (H,W,3) uint8, with its true ids (H,W) uint8."""
        for position in self.positions:
            frame, mask = self.pairs[position]
            ids = read_foreground(mask)[0] if self.binary else drop_void([read_ids(mask)])[0]
            yield read_frame(frame), ids


def regions(video: LongVideo, predictor: VideoPredictor, progress: Progress) -> np.ndarray:
    """Mean J over the objects in each frame of a long video behind the first, (T-1,) in 0..1."""
    values = []
    labels: list[int] = []
    for number, (frame, truth) in enumerate(video):
        if number == 0:
            predictor.start(frame, truth)
            labels = np.unique(truth[truth > 0]).tolist()
        else:
            ids = predictor.step(frame)
            values.append(np.mean([jaccard(truth == label, ids == label) for label in labels]))
        progress.advance(video.name)
    return np.array(values)


def compare(
    video: LongVideo, predictor: VideoPredictor, args: argparse.Namespace, progress: Progress
) -> dict[str, np.ndarray]:
    """The regions of a long video under each policy."""
    spread = max(args.mem_every, math.ceil(len(video) / args.capacity))
    found = {}
    for policy in POLICIES:
        step = spread if policy == "every" else args.mem_every
        memory = predictor.another(policy=policy, capacity=args.capacity, mem_every=step)
        found[policy] = regions(video, memory, progress)
    return found


def draw(path: Path, found: dict[str, dict[str, np.ndarray]]) -> None:
    """One panel for each video: J over its frames, by policy."""
    with figure(path, 900, 60 + 190 * len(found)) as drawn:
        panels = drawn.subplots(len(found), squeeze=False)[:, 0]
        for axes, (name, curves) in zip(panels, found.items(), strict=True):
            for policy, values in curves.items():
                window = min(WINDOW, len(values))
                smooth = np.convolve(values, np.full(window, 1 / window), "valid")
                axes.plot(np.arange(len(smooth)) + (window + 1) / 2, smooth, color=POLICIES[policy], label=policy)
            axes.set(ylabel=f"{name}: J", ylim=(0, 1))
        legend_above(panels[0])
        panels[-1].set_xlabel(f"frame (mean of {WINDOW})")


def main() -> None:
    """Run, draw, print."""
    args = parse_arguments()
    videos = [
        LongVideo(name, args.frames, args.annotations, turns=args.turns, first=args.first, binary=args.binary)
        for name in dict.fromkeys(args.videos)
    ]
    output = make_output_folder(args.output)
    predictor = VideoPredictor.load(args.model, device=args.device, amp=args.amp, size=args.size)
    with Progress(sum(map(len, videos)) * len(POLICIES)) as progress:
        found = {video.name: compare(video, predictor, args, progress) for video in videos}
    draw(output / "memory.png", found)
    rows = [("video", "frames", *POLICIES, *(f"{policy}, last turn" for policy in POLICIES))]
    for video in videos:
        turn = len(video.pairs) - args.first - 1
        curves = found[video.name].values()
        rows.append((video.name, str(len(video)), *means(curves), *means(values[-turn:] for values in curves)))
    write_rows(output / "memory.csv", rows)
    print("\n".join(align(rows)))
    print(f"{args.capacity} predicted frames kept by each policy; saved {output / 'memory.png'}")


def means(curves: Iterable[np.ndarray]) -> list[str]:
    """Means of J, in percent."""
    return [f"{100 * values.mean():.1f}" for values in curves]


if __name__ == "__main__":
    run(main)
