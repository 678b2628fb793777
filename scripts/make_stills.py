"""Makes still pictures for stage 0 from the frames of annotated videos.

    python scripts/make_stills.py --davis data/DAVIS/2016 --list train.txt --output data/static/davis

Every frame becomes a pair <video>_<frame>.jpg|png beside each other; all objects together are the mask. Frames without
an object are left out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.mask_files import list_pairs, read_ids, write_binary
from datasets.video_list import choose_videos, read_given_list
from util.errors import InputError, run
from util.files import atomic_path, make_output_folder
from util.progress import Progress


def find_pairs(davis: Path, video: str) -> list[tuple[Path, Path]]:
    """The frames of a video and their masks.

    Raises:
        InputError: there are none.
    """
    frames, masks = (davis / kind / "480p" / video for kind in ("JPEGImages", "Annotations"))
    pairs = list_pairs(frames, masks)
    if not pairs:
        raise InputError(f"{frames} and {masks} hold no frame with a mask; check --davis and --list")
    return pairs


def make_stills(video: str, pairs: Sequence[tuple[Path, Path]], output: Path) -> int:
    """Copy the frames of a video that show an object, with 0/255 masks; returns how many."""
    made = 0
    for frame, mask in pairs:
        ids = read_ids(mask)
        if frame.suffix.lower() not in (".jpg", ".jpeg"):
            raise InputError(f"{frame} is not a JPEG picture; stage 0 reads pairs of .jpg and .png")
        if np.any(ids):
            name = f"{video}_{frame.stem}"
            write_binary(output / f"{name}.png", ids > 0)
            with atomic_path(output / f"{name}.jpg") as temporary:
                temporary.write_bytes(frame.read_bytes())
            made += 1
    return made


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="folder with JPEGImages/480p and Annotations/480p")
    parser.add_argument("--list", type=Path, required=True, help="text file with the names of the videos")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pairs, e.g. data/static/davis")
    args = parser.parse_args()
    videos = choose_videos(read_given_list(args.list, "list"), [], args.list)
    pairs = {video: find_pairs(args.davis, video) for video in videos}
    output = make_output_folder(args.output)
    with Progress(len(videos)) as progress:
        for video in videos:
            made = make_stills(video, pairs[video], output)
            progress.advance(video)
            progress.part_done(f"{video}: {made} pairs")


if __name__ == "__main__":
    run(main)
