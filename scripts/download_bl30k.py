"""Download BL30K, about 115 GB for each of its six parts, and lay it out as stage 1 reads it.

    python scripts/download_bl30k.py
    python scripts/download_bl30k.py --parts a b --root /disk/data --yes

The parts are fetched and unpacked one after the other into <root>/BL30K/{JPEGImages,Annotations}/<video>/; while one
is unpacked, its archive takes another 115 GB. Run the same command again to go on after an interruption.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.download.sets import Options, add_download_arguments, obtain_missing
from scripts.download.sources import BL30K, PAGES
from util.errors import run


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(BL30K), default=list(BL30K), help="(default: all)")
    add_download_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    parts = {BL30K[part]: PAGES["bl30k"] for part in args.parts}
    obtain_missing(parts, Options.from_arguments(args), yes=args.yes)


if __name__ == "__main__":
    run(main)
