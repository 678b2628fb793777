"""Score segmented sequences against their annotations with the DAVIS measures J and F.

    python scripts/score.py --results output/davis --annotations data/DAVIS/2017/trainval/Annotations/480p \\
        --list data/DAVIS/2017/trainval/ImageSets/2017/val.txt

Prints one row per object, the means over all objects and which objects change hands (identity switches: another id
covers most of them), and saves both tables as the DAVIS toolkit does.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.video_list import choose_videos, read_video_list
from evaluation.scoring import annotated_sequences, format_table, score_folder, score_results, write_csv
from util.errors import run
from util.numbers import workers
from util.progress import Progress


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder with one folder of PNGs per sequence")
    parser.add_argument("--annotations", type=Path, required=True, help="folder with the annotations, laid out alike")
    parser.add_argument("--list", type=Path, help="text file with one sequence per line (default: all annotated ones)")
    parser.add_argument("--set", help="name of the set in the names of the tables (default: that of the list, or val)")
    parser.add_argument("--binary", action="store_true", help="take all labels above 0 as one object (DAVIS 2016)")
    parser.add_argument(
        "--workers", type=workers, help="sequences scored at the same time (default: one per processor)"
    )
    parser.add_argument("--csv", type=Path, help="folder of the tables (default: <results>-scores)")
    return parser.parse_args()


def main() -> None:
    """Score, print, save."""
    arguments = parse_arguments()
    folder = score_folder(arguments.results, arguments.csv)
    sequences = (
        choose_videos(read_video_list(arguments.list), [], arguments.list)
        if arguments.list
        else annotated_sequences(arguments.annotations)
    )
    with Progress(len(sequences)) as progress:
        scores = score_results(
            arguments.results,
            arguments.annotations,
            sequences,
            binary=arguments.binary,
            workers=arguments.workers,
            progress=progress.advance,
        )
    print(format_table(scores))
    if switches := scores.switches:
        print(f"identity switches: {', '.join(f'{name} {count}' for name, count in switches.items())}")
    default_name = arguments.list.stem if arguments.list else "val"
    for table in write_csv(scores, folder, default_name if arguments.set is None else arguments.set):
        print(f"saved {table}")


if __name__ == "__main__":
    run(main)
