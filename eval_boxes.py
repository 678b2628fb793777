"""Track the objects of LaSOT or GOT-10k: box of the first frame -> mask -> masks of all frames -> boxes.

    python eval_boxes.py --dataset lasot --root data/lasot --output output/lasot --score
    python eval_boxes.py --dataset got10k_test --root data/got10k --zip
    torchrun --nproc_per_node=2 eval_boxes.py --dataset got10k_val --first_mask grabcut --score
    python eval_boxes.py --dataset lasot --masks drawn/ --write_masks --overlay mp4

Results are <output>/<video>/<video>_001.txt with a box x,y,width,height for each frame, and <video>_time.txt with the
seconds. Finished videos are skipped. --score and --zip are those of boxes: scripts/analyse_boxes.py compares several
results, scripts/pack_boxes.py writes the layouts of other toolkits.
"""

import util.startup  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets.boxes.dataset import FIRST_MASKS, BoxDataset
from datasets.boxes.trees import BOX_SETS, open_tree
from datasets.test.sizing import choose_sizing
from evaluation.arguments import add_list_arguments, evaluation_parser
from evaluation.boxes.run import BoxResults
from evaluation.cores import run_evaluation
from evaluation.result_folder import beside
from inference_core import InferenceCore
from util.errors import InputError, run


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = evaluation_parser(__doc__)
    parser.set_defaults(size=[480])
    parser.add_argument("--dataset", choices=BOX_SETS, required=True, help="what to track")
    parser.add_argument("--root", type=Path, help="of the dataset (data/lasot or data/got10k)")
    add_list_arguments(parser)
    first = parser.add_argument_group("first mask").add_mutually_exclusive_group()
    first.add_argument(
        "--first_mask",
        choices=FIRST_MASKS,
        default="rectangle",
        help="fill the box, or cut the object out (%(default)s)",
    )
    first.add_argument("--masks", type=Path, metavar="FOLDER", help="drawn masks of the first frames, <video>.png")
    parser.add_argument("--write_masks", action="store_true", help="also <output>-masks/<video>/<frame>.png")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    args = parse(argv)
    args.output = args.output or Path("output") / args.dataset
    tree = open_tree(args.dataset, args.root or BOX_SETS[args.dataset], args.list, args.videos)
    if args.score and not tree.has_truth:
        raise InputError(f"{args.dataset} has no true boxes; use --zip without --score and send it to the server")
    dataset = BoxDataset(
        tree,
        args.first_mask,
        args.masks,
        sizing=choose_sizing(args.size, compat=args.compat),
    )
    results = BoxResults(dataset, beside(args.output, "-masks") if args.write_masks else None)
    run_evaluation(args, results, InferenceCore, args.dataset)


if __name__ == "__main__":
    run(main)
