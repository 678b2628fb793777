"""Resize YouTube-VOS to a short side of 480 pixels, as training reads it.

    python scripts/resize_youtube.py data/YouTube/train data/YouTube/train_480p

Both folders hold {JPEGImages,Annotations}/<video>/. Frames are resampled bicubically and saved as JPEG, masks keep
their ids and palette, and pictures that are small enough are copied. Run the same command again to go on after an
interruption.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import run
from util.resize_tree import resize_youtube


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN", type=Path, help="folder with JPEGImages and Annotations")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder of the small ones")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="pictures at the same time (default: all cores)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    written = resize_youtube(args.input, args.output, args.workers)
    print(f"wrote {written} pictures to {args.output}")


if __name__ == "__main__":
    run(main)
