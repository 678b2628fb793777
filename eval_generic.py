"""Segment any video: a folder of pictures, a video file, a folder of such, or live video.

    python eval_generic.py --input clip.mp4 --masks first.png --output output/clip --overlay mp4
    python eval_generic.py --input frames/ --masks mask.png --start 40 --direction both --boxes --soft
    python eval_generic.py --input videos/ --masks masks/ --size 480 --report
    python eval_generic.py --input v4l2:/dev/video0 --masks first.png --max_frames 500 --overlay mp4
    ffmpeg ... -f matroska - | python eval_generic.py --input - --masks first.png

Masks may be palette, grey or 16-bit PNGs of ids, colour-coded pictures, or one PNG for each object. Several frames may
have masks; objects may appear in any of them. Results have the ids, the colours and the size of the masks.
"""

import util.startup  # noqa: F401

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from datasets.mask_reader import MaskRules, Value, parse_value
from datasets.test.generic_videos import DIRECTIONS, GenericDataset, GenericOptions
from datasets.test.sizing import choose_sizing
from evaluation.arguments import add_arrival_arguments, evaluation_parser
from evaluation.cores import run_evaluation
from evaluation.run import MaskResults
from inference_core_yv import InferenceCoreYV
from util.errors import run
from util.numbers import positive

MIN_RATE, MAX_RATE = Fraction(1, 100), Fraction(1000)


def frame_rate(text: str) -> Fraction:
    """Frames per second, such as 25, 29.97 or 30000/1001."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text} is not a rate from {MIN_RATE} to {MAX_RATE} frames per second")
    return rate


def mask_value(text: str) -> Value:
    """An id or a colour; see `parse_value`."""
    try:
        return parse_value(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is neither an id nor a colour such as #ff0000 or 255,0,0") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__)
    videos = parser.add_argument_group("videos")
    videos.add_argument(
        "--input", required=True, help="folder of pictures, video file, folder of such, - or FORMAT:DEVICE"
    )
    videos.add_argument(
        "--masks", type=Path, nargs="+", default=[], help="mask file, one file for each object, or folder"
    )
    videos.add_argument(
        "--start", metavar="FRAME", help="name or position of the mask's frame, if its name does not tell"
    )
    videos.add_argument(
        "--background",
        type=mask_value,
        metavar="VALUE",
        help="id or colour (#rrggbb) that is no object in the masks (0)",
    )
    videos.add_argument(
        "--void", type=mask_value, metavar="VALUE", help="another id or colour that is no object (none)"
    )
    videos.add_argument(
        "--snap",
        action=argparse.BooleanOptionalAction,
        help="give smoothed edges of masks to the objects around them; --no-snap: every value is an object (refused)",
    )
    videos.add_argument("--direction", choices=DIRECTIONS, default="forward", help="from the masks (%(default)s)")
    videos.add_argument("--truth", type=Path, help="folder of true masks, one folder for each video, for --score")
    videos.add_argument("--fps", type=frame_rate, default=Fraction(24), help="of pictures shown as video (%(default)s)")
    videos.add_argument("--max_frames", type=positive, help="end of live video; Ctrl-C ends it too")
    add_arrival_arguments(parser)
    args = parser.parse_args(argv)
    options = GenericOptions(
        start=args.start,
        direction=args.direction,
        sizing=choose_sizing(args.size, compat=args.compat),
        rate=args.fps,
        max_frames=args.max_frames,
        truth=args.truth,
        rules=MaskRules(args.background, args.void, args.snap),
    )
    run_evaluation(args, MaskResults(GenericDataset(args.input, args.masks, options)), InferenceCoreYV, "generic")


if __name__ == "__main__":
    run(main)
