"""Segment DAVIS 2017 val or test-dev from the masks of the first frames.

    python eval_davis.py --model saves/qdmn_small.pth --davis data/DAVIS/2017 --output output/val --score
    python eval_davis.py --split testdev --use_km --zip
    torchrun --nproc_per_node=2 eval_davis.py --score --report

Results are palette PNGs with the object ids of the first mask, one folder for each video. Finished videos are skipped.
"""

import util.startup  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.test.davis_test_dataset import SPLITS_2017, DavisTestDataset
from datasets.test.sizing import choose_sizing
from evaluation.arguments import add_list_arguments, evaluation_parser
from evaluation.cores import run_evaluation
from evaluation.run import MaskResults
from inference_core import InferenceCore
from util.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__)
    parser.add_argument("--davis", type=Path, default=Path("data/DAVIS/2017"), help="root of DAVIS 2017 (%(default)s)")
    parser.add_argument("--split", choices=SPLITS_2017, default="val", help="part of DAVIS 2017 (%(default)s)")
    add_list_arguments(parser)
    args = parser.parse_args(argv)
    dataset = DavisTestDataset.davis_2017(
        args.davis,
        args.split,
        list_file=args.list,
        only=args.videos,
        sizing=choose_sizing(args.size, compat=args.compat),
    )
    run_evaluation(args, MaskResults(dataset), InferenceCore, f"davis2017-{args.split}")


if __name__ == "__main__":
    run(main)
