"""Compare the boxes of one or more trackers with the true ones of LaSOT, GOT-10k val or another test set.

    python scripts/analyse_boxes.py --dataset lasot --root data/lasot --results output/lasot
    python scripts/analyse_boxes.py --dataset got10k_val --results output/small output/large --output output/compared

Reads what eval_boxes.py writes, and <video>.txt of other trackers, with commas, tabs or spaces. Prints the measures in
percent; saves them, those of each video and the curves.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.boxes.trees import BOX_SETS, open_tree
from evaluation.arguments import add_list_arguments
from evaluation.boxes.scores import report_scores, score_tree
from evaluation.scoring import score_folder
from util.errors import InputError, run
from util.progress import Progress


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scored = [name for name in BOX_SETS if name not in ("got10k_test", "trackingnet")]
    parser.add_argument("--dataset", choices=scored, required=True, help="what was tracked")
    parser.add_argument("--root", type=Path, help="of the dataset (data/lasot, data/got10k, ...)")
    parser.add_argument("--results", type=Path, nargs="+", required=True, metavar="FOLDER", help="one for each tracker")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the trackers (those of the folders)")
    parser.add_argument("--output", type=Path, help="folder of the tables (<first folder>-scores)")
    parser.add_argument("--compat", action="store_true", help="count lost frames as the published analysis does")
    add_list_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Score, print, save."""
    args = parse_arguments()
    names = args.names or [folder.absolute().name for folder in args.results]
    if len(names) != len(args.results):
        raise InputError(f"--names has {len(names)} names for {len(args.results)} folders of --results")
    for folder in args.results:
        if not folder.is_dir():
            raise InputError(f"folder {folder} does not exist; check --results")
    tree = open_tree(args.dataset, args.root or BOX_SETS[args.dataset], args.list, args.videos)
    output = score_folder(args.results[0], args.output)
    with Progress(len(args.results) * len(tree.names)) as progress:
        scores = [
            score_tree(tree, folder, name, progress.advance, compat=args.compat)
            for folder, name in zip(args.results, names, strict=True)
        ]
    report_scores(scores, output, args.dataset)


if __name__ == "__main__":
    run(main)
