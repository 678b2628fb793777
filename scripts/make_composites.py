"""Writes the composites that `train.py --composites` learns from, to look at or to train on as they are.

    python scripts/make_composites.py --stage 2 --davis_root data/DAVIS --yv_root none --output composites
    python scripts/make_composites.py --stage 2 --composite_stills --static_root data/static --yv_root none \\
        --output composites

The tree is that of DAVIS 2017, so that `--davis_root composites` trains on it; `contact_sheet.png` shows the clips, one
in a row, with the objects that are learned outlined. The same arguments write the same pixels.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np
from PIL import Image

from datasets.mask_files import write_ids
from datasets.train.clip_sampler import SampleRequest, derive_seed
from datasets.train.clips import Sample
from datasets.train.sets import MEGA, TRAINING_SETS
from datasets.train.stages import ClipOptions, stage_data
from evaluation.report.pictures import contact_sheet, write_picture
from util.errors import InputError, run
from util.files import atomic_path, make_output_folder, write_text
from util.numbers import pixels, positive, whole
from util.progress import Progress

TREE = Path("2017/trainval")
SHEET = "contact_sheet.png"
MOST_ROWS = 40  # of the contact sheet
QUALITY = 95  # of JPEGs


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="root of the tree; empty or new")
    add(
        "--stage",
        type=int,
        choices=(0, 1, 2, 3, MEGA),
        default=2,
        help="whose data make the clips, as for train.py (default 2)",
    )
    for entry in TRAINING_SETS:
        add(f"--{entry.option}", type=Path, help=f"of {entry.name}, as for train.py")
    add("--composite_stills", action="store_true", help="cut objects out of the pictures of --static_root too")
    add("--count", type=whole(1, 99_999), default=12, help="clips to write (default 12)")
    add("--clip_length", type=whole(2, 1000), default=3, help="frames of a clip (default 3)")
    add("--num_objects", type=whole(1, 254), default=3, help="most objects of a clip, as for train.py (default 3)")
    add("--image_size", type=pixels, nargs=2, default=(384, 384), metavar=("H", "W"), help="(default 384 384)")
    add("--max_skip", type=positive, help="upper limit on the frame skips, as for train.py")
    add("--seed", type=whole(0), default=0)
    args = parser.parse_args()
    if args.composite_stills and args.stage == 0:
        parser.error("--composite_stills belongs to stages 1 to 3; stage 0 is made of pictures anyway")
    return args


def frames_and_ids(sample: Sample) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames of a clip (H,W,3) uint8, and the ids (H,W) uint8 of its mask planes, from 1."""
    masks = sample["masks"].numpy() > 0
    numbers = np.arange(1, masks.shape[1] + 1, dtype=np.uint8)[:, None, None]
    return list(sample["frames"].permute(0, 2, 3, 1).numpy()), list((masks * numbers).max(1))


def write_clip(root: Path, name: str, frames: list[np.ndarray], ids: list[np.ndarray]) -> None:
    """Write a video of a DAVIS tree."""
    folders = [make_output_folder(root / kind / "480p" / name) for kind in ("JPEGImages", "Annotations")]
    for number, (frame, mask) in enumerate(zip(frames, ids, strict=True)):
        with atomic_path(folders[0] / f"{number:05d}.jpg") as temporary:
            Image.fromarray(frame).save(temporary, format="JPEG", quality=QUALITY)
        write_ids(folders[1] / f"{number:05d}.png", mask)


def main() -> None:
    """Parse, make, write."""
    args = parse_arguments()
    options = ClipOptions(
        image_size=tuple(args.image_size),
        clip_length=args.clip_length,
        num_objects=args.num_objects,
        max_skip=args.max_skip,
    )
    data = stage_data(
        args.stage,
        {entry.option: getattr(args, entry.option) for entry in TRAINING_SETS},
        options,
        composites=1.0,
        composite_stills=args.composite_stills,
    )
    output = make_output_folder(args.output)
    if any(output.iterdir()):
        raise InputError(f"output folder {output} is not empty; choose another one")
    frames: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    captions: list[str] = []
    names = [f"{number:05d}" for number in range(args.count)]
    with Progress(args.count) as progress:
        for number, name in enumerate(names):
            seed = derive_seed(args.seed, number)
            sample = data[SampleRequest(seed % len(data), seed, number, args.count)]
            clip, masks = frames_and_ids(sample)
            write_clip(output / TREE, name, clip, masks)
            if number < MOST_ROWS:
                frames, ids = [*frames, *clip], [*ids, *masks]
                captions += [f"{name}: {sample['name']}", *[""] * (len(clip) - 1)]
            progress.advance(name)
    write_text(output / TREE / "ImageSets/2017/train.txt", "".join(f"{name}\n" for name in names))
    write_picture(output / SHEET, contact_sheet(frames, ids, captions, columns=args.clip_length, width=256))
    print(f"wrote {args.count} clips to {output}; look at {output / SHEET}")


if __name__ == "__main__":
    run(main)
