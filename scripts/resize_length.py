"""Resize the pictures of one folder to a short side of 384 pixels, as stage 0 reads BIG_small and HRSOD_small.

    python scripts/resize_length.py data/BIG data/static/BIG_small

Every pixel becomes the mean of the area that it covers; palette masks keep their ids and palette. Names and formats
stay, and pictures that are small enough are copied. Run the same command again to go on after an interruption.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.resize_youtube import Filter, Job, parse_arguments, resize_all
from util.errors import run
from util.images import list_images

SHORT_SIDE = 384


def resize_folder(source: Path, output: Path, workers: int) -> int:
    """Resize the pictures and masks of one folder to a short side of 384 pixels by the mean over areas.

    Returns:
        The number of pictures that were written; those that were there already are not counted.

    Raises:
        InputError: the folder is missing or has no picture, or a picture cannot be read.
    """
    jobs = [Job(path, output / path.name, SHORT_SIDE, Filter.AREA) for path in list_images(source)]
    return resize_all(source, output, jobs, workers)


def main() -> None:
    """Parse and resize."""
    args = parse_arguments(__doc__, "folder of the pictures and masks")
    written = resize_folder(args.input, args.output, args.workers)
    print(f"wrote {written} pictures to {args.output}")


if __name__ == "__main__":
    run(main)
