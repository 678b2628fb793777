"""Make a set of boxes of videos with masks, in the layout of OTB: the box around each object, frames by links.

    python scripts/boxes_of_masks.py --frames data/DAVIS/2016/JPEGImages/480p \\
        --masks data/DAVIS/2016/Annotations/480p --videos libby blackswan --output data/davis_boxes
    python eval_boxes.py --dataset otb --root data/davis_boxes --model droptrack.pth --score

Each object of a video's first mask is a video, <video> or of several <video>_<object>; where it is gone, its box has
no size and the frame counts as lost.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.boxes.boxes import box_of_mask, format_rows
from datasets.mask_files import read_ids
from util.errors import InputError, run
from util.files import make_output_folder, write_text
from util.images import list_images
from util.progress import Progress

NO_BOX = (0, 0, 0, 0)
VOID = 255  # of masks with ids


def write_video(frames: Path, masks: Path, output: Path) -> int:
    """Write the objects of a video; their number.

    Raises:
        InputError: frames and masks do not fit, or the first mask is empty.
    """
    pictures, files = list_images(frames), list_images(masks)
    if [path.stem for path in pictures] != [path.stem for path in files]:
        raise InputError(f"{masks} has {len(files)} masks, {frames} {len(pictures)} frames; each frame needs its mask")
    ids = [read_ids(path) for path in files]
    found = [k for k in np.unique(ids[0]).tolist() if k]
    objects = [k for k in found if k != VOID] or found  # masks of 0 and 255 have no void
    if not objects:
        raise InputError(f"{files[0]} holds no object; a box is needed in the first frame")
    for k in objects:
        boxes = np.array([box_of_mask(mask == k) or NO_BOX for mask in ids])
        folder = output / (frames.name if len(objects) == 1 else f"{frames.name}_{k}")
        write_text(folder / "groundtruth_rect.txt", format_rows(boxes, "%d"))
        (folder / "img").symlink_to(frames.absolute(), target_is_directory=True)
    return len(objects)


def main() -> None:
    """Parse, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="folder with <video>/<frame>.jpg")
    parser.add_argument("--masks", type=Path, required=True, help="folder with <video>/<frame>.png of every frame")
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="only these (all that have masks)")
    parser.add_argument("--output", type=Path, required=True, help="new folder")
    args = parser.parse_args()
    for folder in (args.frames, args.masks):
        if not folder.is_dir():
            raise InputError(f"folder {folder} does not exist; check --frames and --masks")
    names = args.videos or sorted(path.name for path in args.masks.iterdir() if path.is_dir())
    make_output_folder(args.output)
    if any(args.output.iterdir()):
        raise InputError(f"output folder {args.output} is not empty; choose another one")
    with Progress(len(names)) as progress:
        count = 0
        for name in names:
            count += write_video(args.frames / name, args.masks / name, args.output)
            progress.advance(name)
    print(f"wrote {count} objects of {len(names)} videos to {args.output}")


if __name__ == "__main__":
    run(main)
