"""Resize YouTube-VOS to a short side of 480 pixels, as training reads it.

    python scripts/resize_youtube.py data/YouTube/train data/YouTube/train_480p

Both folders hold {JPEGImages,Annotations}/<video>/. Frames are resampled bicubically and saved as JPEG, masks keep
their ids and palette, and pictures that are small enough are copied. Run the same command again to go on after an
interruption.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.resize_tree import parse_arguments, resize_youtube
from util.errors import run


def main() -> None:
    """Parse and resize."""
    args = parse_arguments(__doc__, "folder with JPEGImages and Annotations")
    written = resize_youtube(args.input, args.output, args.workers)
    print(f"wrote {written} pictures to {args.output}")


if __name__ == "__main__":
    run(main)
