"""Segment YouTube-VOS valid or test, 2018 or 2019; objects are given on the frames in which they first appear.

    python eval_youtube.py --model saves/qdmn_small.pth --yv data/YouTube --output output/youtube --zip
    python eval_youtube.py --yv data/YouTube2018 --frames fifth --output_all --report
    torchrun --nproc_per_node=2 eval_youtube.py --split test --zip

Results are palette PNGs with the ids of the masks, one folder for each video, from its first mask on; only of the
frames that the server scores unless --output_all is given. Finished videos are skipped.
"""

import util.startup  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.test.sizing import choose_sizing
from datasets.test.yv_test_dataset import FRAMES, SHORT_SIDE, SPLITS, YouTubeTestDataset
from evaluation.arguments import add_arrival_arguments, add_list_arguments, evaluation_parser
from evaluation.cores import run_evaluation
from evaluation.run import MaskResults
from inference_core_yv import InferenceCoreYV
from util.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = evaluation_parser(__doc__)
    parser.set_defaults(size=[SHORT_SIDE])
    parser.add_argument("--yv", type=Path, default=Path("data/YouTube"), help="root of YouTube-VOS (%(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="valid", help="part of YouTube-VOS (%(default)s)")
    parser.add_argument(
        "--frames", choices=FRAMES, default="auto", help="read all frames or each fifth; auto: all where they are there"
    )
    parser.add_argument("--output_all", action="store_true", help="write every frame that is read")
    add_arrival_arguments(parser)
    add_list_arguments(parser)
    args = parser.parse_args(argv)
    dataset = YouTubeTestDataset(
        args.yv,
        args.split,
        frames=args.frames,
        output_all=args.output_all,
        sizing=choose_sizing(args.size, compat=args.compat),
        list_file=args.list,
        only=args.videos,
    )
    run_evaluation(args, MaskResults(dataset), InferenceCoreYV, f"youtube-{args.split}")


if __name__ == "__main__":
    run(main)
