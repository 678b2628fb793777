"""Write made videos as small LaSOT and GOT-10k trees, to try the evaluation of boxes on.

    python scripts/make_box_trees.py --output data/made --videos 3
    python eval_boxes.py --dataset lasot --root data/made/lasot --score

The first object of each video is the one to be tracked. In every second video it leaves the frame for a while.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.synthetic.boxes import BoxVideo, write_box_tree
from datasets.synthetic.clips import make_clip
from util.errors import InputError, run
from util.files import make_output_folder
from util.numbers import pixels, positive, whole
from util.progress import Progress


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="new folder for lasot/ and got10k/")
    add("--videos", type=positive, default=3, help="of each tree (%(default)s)")
    add("--frames", type=positive, default=30, help="of a video (%(default)s)")
    add("--size", type=pixels, nargs=2, default=(240, 432), metavar=("H", "W"), help="of a frame (240 432)")
    add("--objects", type=positive, default=2, help="in a video (%(default)s)")
    add("--seed", type=whole(0), default=0, help="of the first video (%(default)s)")
    return parser.parse_args()


def make_videos(args: argparse.Namespace, progress: Progress) -> Iterator[BoxVideo]:
    """The videos that a command line asks for."""
    for number in range(args.videos):
        leaving = float(number % 2)
        height, width = args.size
        rgb, ids = make_clip(args.seed + number, args.frames, height, width, args.objects, leaving=leaving)
        progress.advance(f"video {number + 1}")
        yield BoxVideo(rgb, ids == 1)


def main() -> None:
    """Make, write."""
    args = parse_arguments()
    make_output_folder(args.output)
    if any(args.output.iterdir()):
        raise InputError(f"output folder {args.output} is not empty; choose another one")
    with Progress(args.videos) as progress:
        count = write_box_tree(args.output, make_videos(args, progress))
    print(f"wrote {count} videos to each tree in {args.output}")


if __name__ == "__main__":
    run(main)
