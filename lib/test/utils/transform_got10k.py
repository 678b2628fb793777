"""Pack the results of tracking/test.py on GOT-10k for the server; scripts/pack_boxes.py does the same for any results.

    python lib/test/utils/transform_got10k.py --tracker_name ostrack --cfg_name vitb_384_mae_ce_32x4_got10k_ep100

Writes <results>/got10k_submit.zip; the results stay as they are.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import util.startup  # noqa: F401

from evaluation.boxes.results import LAYOUTS, export, read_result
from tracking.paths import read_paths
from tracking.results import results_of
from util.errors import InputError, run


def main(argv: Sequence[str] | None = None) -> None:
    """Read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker_name", required=True, help="as tracking/test.py was told")
    parser.add_argument("--cfg_name", required=True, help="the same")
    args = parser.parse_args(argv)
    folder = results_of(read_paths(), args.tracker_name, args.cfg_name, "got10k_test")
    names = sorted(path.stem for path in folder.glob("*.txt") if not path.stem.endswith("_time"))
    if not names:
        raise InputError(f"there are no results in {folder}; run tracking/test.py with --dataset_name got10k_test")
    archive = folder.parent / "got10k_submit.zip"
    results = {name: read_result(folder, name) for name in names}
    export(LAYOUTS["ostrack_submission"], archive, results, args.tracker_name, args.cfg_name)
    print(f"packed {len(names)} videos into {archive}")


if __name__ == "__main__":
    run(main)
