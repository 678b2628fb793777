"""Download the data sets and lay them out as training and evaluation read them.

    python scripts/download_datasets.py --all
    python scripts/download_datasets.py --davis --youtube --root /disk/data --yes
    python scripts/download_datasets.py --static --mirror https://files.example.org/vos

Run the same command again to go on after an interruption: parts that are there are skipped. An archive that Google
Drive refuses to send can be fetched by a browser and put into <root>/archives under the name that the message says.
BL30K has its own command, scripts/download_bl30k.py; MOSE and SA-V are fetched by hand, see docs/datasets.md.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.download.sets import Options, add_download_arguments, obtain_missing
from scripts.download.sources import GROUPS, PAGES, YOUTUBE_TRAIN
from scripts.resize_youtube import resize_youtube
from util.errors import InputError, run
from util.numbers import workers

HELP = {
    "static": "pictures for stage 0: FSS-1000, DUTS-TR, DUTS-TE, ECSSD, BIG_small, HRSOD_small",
    "davis": "DAVIS 2016, and 2017 trainval and test-dev at 480p",
    "youtube": "YouTube-VOS 2019 train, valid and all frames of valid",
    "youtube2018": "YouTube-VOS 2018 valid and all frames of valid",
    "lvos": "LVOS v1 train, valid and test; its meta files are apart, see docs/datasets.md",
    "lvos2": "LVOS v2 train, valid and test, likewise",
    "long": "Long-time Video, also three times as long",
    "vost": "VOST train and val",
    "burst": "masks of BURST; its frames are those of TAO, see docs/datasets.md",
    "ovis": "OVIS train as folders of masks",
}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for group in GROUPS:
        parser.add_argument(f"--{group}", action="store_true", help=HELP[group])
    parser.add_argument("--all", action="store_true", help="all of these")
    add_download_arguments(parser)
    parser.add_argument("--no_resize", action="store_true", help="do not make YouTube/train_480p, which stage 2 reads")
    parser.add_argument(
        "--workers",
        type=workers,
        default=os.cpu_count() or 1,
        help="pictures resized at the same time (default: all cores)",
    )
    return parser.parse_args()


def chosen_groups(args: argparse.Namespace) -> list[str]:
    """The groups that a command line asks for.

    Raises:
        InputError: it asks for none.
    """
    groups = [group for group in GROUPS if args.all or getattr(args, group)]
    if not groups:
        raise InputError(f"say what to download: {', '.join(f'--{group}' for group in GROUPS)} or --all")
    return groups


def resize_train(root: Path, workers: int) -> None:
    """Make the smaller copy of the train set of YouTube-VOS, or what is missing of it.

    Raises:
        InputError: a picture cannot be read.
    """
    source, resized = root / YOUTUBE_TRAIN.folder, root / YOUTUBE_TRAIN.resized
    if source.is_dir():
        print(f"resizing {source} to {resized}", flush=True)
        print(f"wrote {resize_youtube(source, resized, workers)} pictures to {resized}")


def main() -> None:
    args = parse_arguments()
    groups = chosen_groups(args)
    parts = {part: PAGES[group] for group in groups for part in GROUPS[group]}
    obtain_missing(parts, Options.from_arguments(args), yes=args.yes)
    if "youtube" in groups and not args.no_resize:
        resize_train(args.root, args.workers)


if __name__ == "__main__":
    run(main)
