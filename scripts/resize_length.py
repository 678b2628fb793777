"""Resize the pictures of one folder to a short side of 384 pixels, as stage 0 reads BIG_small and HRSOD_small.

    python scripts/resize_length.py data/BIG data/static/BIG_small

Every pixel becomes the mean of the area that it covers; palette masks keep their ids and palette. Names and formats
stay, and pictures that are small enough are copied. Run the same command again to go on after an interruption.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.resize_tree import parse_arguments, resize_folder
from util.errors import run


def main() -> None:
    """Parse and resize."""
    args = parse_arguments(__doc__, "folder of the pictures and masks")
    written = resize_folder(args.input, args.output, args.workers)
    print(f"wrote {written} pictures to {args.output}")


if __name__ == "__main__":
    run(main)
