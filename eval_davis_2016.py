"""Segment DAVIS 2016 val from the masks of the first frames.

    python eval_davis_2016.py --model saves/qdmn_small.pth --davis data/DAVIS/2016 --output output/davis2016 --score

Results are grey PNGs, 0 background and 255 object, one folder for each video. Finished videos are skipped.
"""

import util.startup  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.test.davis_test_dataset import DavisTestDataset
from datasets.test.sizing import choose_sizing
from evaluation.arguments import add_list_arguments, evaluation_parser
from evaluation.cores import run_evaluation
from evaluation.run import MaskResults
from inference_core import InferenceCore
from util.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__)
    parser.add_argument("--davis", type=Path, default=Path("data/DAVIS/2016"), help="root of DAVIS 2016 (%(default)s)")
    add_list_arguments(parser)
    args = parser.parse_args(argv)
    dataset = DavisTestDataset.davis_2016(
        args.davis, list_file=args.list, only=args.videos, sizing=choose_sizing(args.size, compat=args.compat)
    )
    run_evaluation(args, MaskResults(dataset), InferenceCore, "davis2016-val")


if __name__ == "__main__":
    run(main)
