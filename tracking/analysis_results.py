"""Score the results of tracking/test.py as the published analysis does; scripts/analyse_boxes.py has more to choose.

    python tracking/analysis_results.py --dataset_name lasot --config vitb_384_mae_ce_32x4_ep300

The published script has no options and is edited; what it is shipped with are the defaults. The tables and curves are
<save_dir>/test/result_plots/<test set>/boxes-<test set>*. Nothing is kept from one call to the next.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.boxes.trees import open_tree
from evaluation.arguments import add_list_arguments
from evaluation.boxes.scores import report_scores, score_tree
from tracking.paths import read_paths
from tracking.results import TEST_SETS, kind_of, results_of, root_of
from util.errors import InputError, run


def main(argv: Sequence[str] | None = None) -> None:
    """Score, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scored = [name for name in TEST_SETS if name not in ("got10k_test", "trackingnet")]
    parser.add_argument("--tracker_name", default="ostrack", help="(%(default)s)")
    parser.add_argument("--config", nargs="+", default=["vitb_384_mae_ce_32x4_ep296"], help="(%(default)s)")
    parser.add_argument("--dataset_name", choices=scored, default="tnl2k", help="(%(default)s)")
    add_list_arguments(parser)
    args = parser.parse_args(argv)
    paths, kind = read_paths(), kind_of(args.dataset_name)
    folders = {config: results_of(paths, args.tracker_name, config, kind) for config in args.config}
    for config, folder in folders.items():
        if not folder.is_dir():
            there = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
            raise InputError(f"{config} has no results in {folder}; pass --config (there are: {', '.join(there)})")
    tree = open_tree(kind, root_of(paths, kind), args.list, args.videos)
    scores = [score_tree(tree, folder, config, compat=True) for config, folder in folders.items()]
    report_scores(scores, paths.save_dir / "test/result_plots" / args.dataset_name, args.dataset_name)


if __name__ == "__main__":
    run(main)
