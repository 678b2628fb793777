"""Write down where data lie and results go, for the published commands that come later.

python tracking/create_default_local_file.py --workspace_dir . --data_dir ./data --save_dir ./output
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from tracking import paths
from tracking.paths import Paths, write_paths
from util.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace_dir", type=Path, required=True, help="of the project")
    parser.add_argument("--data_dir", type=Path, required=True, help="in which the data sets lie")
    parser.add_argument("--save_dir", type=Path, required=True, help="in which results are written")
    args = parser.parse_args(argv)
    told = Paths(*(folder.absolute() for folder in (args.workspace_dir, args.data_dir, args.save_dir)))
    write_paths(told, paths.LOCAL)
    print(f"wrote {paths.LOCAL}: data in {told.data_dir}, results in {told.save_dir}")


if __name__ == "__main__":
    run(main)
