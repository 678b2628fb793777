"""Segment one of the sets of today: MOSE, LVOS, Long-time Video, VOST, BURST, SA-V; docs/datasets.md describes them.

    python eval_vos.py --set mose2 --output output/mose2 --zip
    python eval_vos.py --set lvos2 --root data/LVOSv2 --score --report
    python eval_vos.py --set sav --split sav_test --score
    python eval_vos.py --set lvos2 --results masks/of/another/program
    torchrun --nproc_per_node=2 eval_vos.py --set mose --truth data/MOSE/valid_truth --score

Objects are given on the frames in which they first appear; frames before the first mask get empty results. Results are
palette PNGs with the ids of the masks, one folder for each video, or where objects may overlap (SA-V) 0/255 PNGs, one
folder for each object of each video. Finished videos are skipped.
"""

import util.startup  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.test.set_dataset import SetDataset
from datasets.test.sets import SETS
from datasets.test.sizing import choose_sizing
from evaluation.arguments import add_arrival_arguments, add_list_arguments, evaluation_parser
from evaluation.cores import run_evaluation
from evaluation.run import MaskResults
from inference_core_yv import InferenceCoreYV
from util.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__)
    parser.add_argument("--set", required=True, choices=SETS, help="which set")
    parser.add_argument("--root", type=Path, help="where it lies (data/<its name>, see docs/datasets.md)")
    parser.add_argument("--split", help="part of the set (the first that is there)")
    parser.add_argument("--truth", type=Path, help="folder of true masks, where the set has only those that are given")
    parser.add_argument("--results", type=Path, help="score these, which another program wrote, and segment nothing")
    parser.add_argument("--output_all", action="store_true", help="write every frame also where few have masks")
    add_arrival_arguments(parser)
    add_list_arguments(parser)
    args = parser.parse_args(argv)
    entry = SETS[args.set]
    if args.split and args.split not in entry.videos:
        parser.error(f"--split {args.split} is none of {entry.title}; it has {', '.join(entry.videos)}")
    args.size = args.size or [entry.size]
    dataset = SetDataset(
        entry,
        args.root or entry.root,
        args.split,
        truth=args.truth,
        output_all=args.output_all,
        sizing=choose_sizing(args.size, compat=args.compat),
        list_file=args.list,
        only=args.videos,
    )
    results = MaskResults(dataset)
    if args.results is not None:
        results.require_truth()
        results.score(args.results)
        return
    run_evaluation(args, results, InferenceCoreYV, f"{args.set}-{dataset.split}")


if __name__ == "__main__":
    run(main)
