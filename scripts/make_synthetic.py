"""Writes made videos as the folder trees that training and evaluation read.

    python scripts/make_synthetic.py --output data/static  --layout static  --videos 3000
    python scripts/make_synthetic.py --output data/BL30K   --layout bl30k   --videos 500
    python scripts/make_synthetic.py --output data/DAVIS   --layout davis   --videos 60 --val 10
    python scripts/make_synthetic.py --output data/YouTube --layout youtube --videos 100 --val 10 --frames 60
    python scripts/make_synthetic.py --output data/MOSE    --layout mose    --videos 60 --val 10

The videos are those of `datasets.synthetic.clips`; the same arguments write the same pixels. Training and validation
videos never share a seed, and neither do trees whose `--seed` differs.
"""

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import cv2

from datasets.synthetic.trees import LAYOUTS_WITH_VALIDATION, WRITERS, VideoPlan, write_lists, write_video
from util.errors import InputError, run
from util.files import make_output_folder
from util.numbers import number, pixels, positive, share, whole, workers
from util.progress import Progress

SEEDS_PER_TREE = 1_000_000


def prepare_worker() -> None:
    """One thread for each worker; Ctrl-C is the main process's to handle, which lets workers finish their video."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def write_all(plans: list[VideoPlan], workers: int) -> Iterator[str]:
    """Write the videos in parallel; yields the name of each when it is done."""
    if min(workers, len(plans)) == 1:
        yield from map(write_video, plans)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(plans)), mp_context=context, initializer=prepare_worker) as pool:
        try:
            for done in as_completed([pool.submit(write_video, plan) for plan in plans]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="root of the tree, e.g. data/DAVIS")
    add("--layout", choices=sorted(WRITERS), required=True)
    videos = whole(0, SEEDS_PER_TREE)
    add("--videos", type=videos, default=8, help="training videos; pictures with --layout static (default 8)")
    add("--val", type=videos, help="validation videos, in the layouts that have such (default 2)")
    add("--frames", type=positive, default=40, help="frames a video; youtube trains on each fifth (default 40)")
    add("--size", type=pixels, nargs=2, default=(240, 432), metavar=("H", "W"), help="of a frame (default 240 432)")
    add("--objects", type=positive, nargs="+", metavar="K", help="objects a video, or least and most (default 1 3)")
    add("--seed", type=whole(0), default=0)
    add("--speed", type=number(0, 1000), default=1.0, help="factor on all motion (default 1)")
    add("--clutter", type=whole(0, 1000), default=3, help="unlabelled bodies a video (default 3)")
    add(
        "--late",
        type=share,
        default=0.4,
        help="share of objects that appear later, in layouts that have such (default 0.4)",
    )
    add(
        "--workers",
        type=workers,
        default=os.cpu_count() or 1,
        help="videos written at the same time (default: all cores)",
    )
    add("--overwrite", action="store_true", help="write into a folder that holds files; replaces videos by name")
    return parser.parse_args()


def plan_videos(args: argparse.Namespace) -> list[VideoPlan]:
    """The videos that a command line asks for.

    Raises:
        InputError: the numbers do not make sense together.
    """
    has_validation = args.layout in LAYOUTS_WITH_VALIDATION
    val = args.val if args.val is not None else 2 * has_validation
    objects = args.objects or ([1] if args.layout == "static" else [1, 3])
    if val and not has_validation:
        raise InputError(f"--layout {args.layout} has no validation part; leave out --val")
    if args.videos + val == 0:
        raise InputError("--videos and --val are both 0; ask for at least one video")
    if len(objects) > 2 or objects[0] > objects[-1]:
        raise InputError("--objects takes one number, or the least and the most")
    return [
        VideoPlan(
            output=args.output,
            layout=args.layout,
            split=split,
            number=number,
            seed=2 * (args.seed * SEEDS_PER_TREE + number) + (split == "val"),
            frames=args.frames,
            size=tuple(args.size),
            objects=(objects[0], objects[-1]),
            speed=args.speed,
            clutter=args.clutter,
            late=args.late,
        )
        for split, count in (("train", args.videos), ("val", val))
        for number in range(count)
    ]


def main() -> None:
    args = parse_arguments()
    plans = plan_videos(args)
    make_output_folder(args.output)
    if any(args.output.iterdir()) and not args.overwrite:
        raise InputError(f"output folder {args.output} is not empty; choose another one or pass --overwrite")
    with Progress(len(plans)) as progress:
        for name in write_all(plans, args.workers):
            progress.advance(name)
    write_lists(args.output, args.layout, plans)
    print(f"wrote {len(plans)} {'pictures' if args.layout == 'static' else 'videos'} to {args.output}")


if __name__ == "__main__":
    run(main)
