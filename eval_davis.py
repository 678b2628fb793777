"""Segment DAVIS 2017 val or test-dev from the masks of the first frames.

    python eval_davis.py --model saves/qdmn_small.pth --davis data/DAVIS/2017 --output output/val --score
    python eval_davis.py --split testdev --use_km --zip

Results are palette PNGs with the object ids of the first mask, one folder for each video. Finished videos are skipped.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datasets.davis_test_dataset import SPLITS_2017, DavisTestDataset
from inference_core import InferenceCore
from model.checkpoint import load_network
from util.errors import run
from util.eval_arguments import core_options, evaluation_parser, run_options
from util.evaluation import evaluate


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__, Path("data/DAVIS/2017"))
    parser.add_argument("--split", choices=SPLITS_2017, default="val", help="part of DAVIS 2017 (%(default)s)")
    args = parser.parse_args(argv)
    options = run_options(args, f"davis2017-{args.split}")
    dataset = DavisTestDataset.davis_2017(args.davis, args.split, list_file=args.list, only=args.videos)
    evaluate(
        dataset,
        options,
        lambda device: partial(InferenceCore, load_network(args.model, device), **core_options(args)),
    )


if __name__ == "__main__":
    run(main)
