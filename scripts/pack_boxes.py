"""Write tracked boxes as other toolkits and the GOT-10k server want them.

    python scripts/pack_boxes.py --results output/got10k_test --layout submission --output output/submission.zip
    python scripts/pack_boxes.py --results output/lasot --layout ostrack --output output --tracker qdmn --config small

Reads what eval_boxes.py writes and leaves it as it is.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.video_list import choose_videos, read_video_list
from evaluation.boxes.results import LAYOUTS, export, finished_videos, read_result
from util.errors import InputError, run


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="output of eval_boxes.py")
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="see docs/boxes.md")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder; with the layouts of submissions the archive"
    )
    parser.add_argument("--list", type=Path, metavar="FILE", help="names of the videos (all that are finished)")
    parser.add_argument("--tracker", default="tracker", help="name in the paths of some layouts (%(default)s)")
    parser.add_argument("--config", default="default", help="the same (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Read, write."""
    args = parse_arguments()
    layout = LAYOUTS[args.layout]
    if layout.packed and args.output.suffix != ".zip":
        raise InputError(f"--layout {args.layout} writes an archive; pass --output NAME.zip")
    if args.list is not None and not args.list.is_file():
        raise InputError(f"list {args.list} does not exist; pass a text file with one video on each line")
    names = (
        finished_videos(args.results) if args.list is None else choose_videos(read_video_list(args.list), [], args.list)
    )
    results = {name: read_result(args.results, name) for name in names}
    count = export(layout, args.output, results, args.tracker, args.config)
    print(f"wrote {count} files of {len(names)} videos to {args.output}")


if __name__ == "__main__":
    run(main)
