"""Segment DAVIS 2016 val from the masks of the first frames.

    python eval_davis_2016.py --model saves/qdmn_small.pth --davis data/DAVIS/2016 --output output/davis2016 --score

Results are grey PNGs, 0 background and 255 object, one folder for each video. Finished videos are skipped.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datasets.davis_test_dataset import DavisTestDataset
from inference_core import InferenceCore
from model.checkpoint import load_network
from util.errors import run
from util.eval_arguments import core_options, evaluation_parser, run_options
from util.evaluation import evaluate


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    args = evaluation_parser(__doc__, Path("data/DAVIS/2016")).parse_args(argv)
    options = run_options(args, "davis2016-val")
    dataset = DavisTestDataset.davis_2016(args.davis, list_file=args.list, only=args.videos)
    evaluate(
        dataset,
        options,
        lambda device: partial(InferenceCore, load_network(args.model, device), **core_options(args)),
    )


if __name__ == "__main__":
    run(main)
