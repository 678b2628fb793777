"""Download published weights.

    python scripts/download_model.py qdmn
    python scripts/download_model.py stcn propagation --output saves

Files that are there and complete are kept. Weights that Google Drive refuses to send can be fetched by a browser and
put into the folder under the name that the message says.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from scripts.download.fetch import fetch
from scripts.download.sources import MODELS
from util.errors import run


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(MODELS), metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--output", type=Path, default=Path("saves"), help="folder of the weights (default saves)")
    parser.add_argument("--mirror", metavar="URL", help="fetch URL/<file name> instead of the copies on Google Drive")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    for name in dict.fromkeys(args.names):
        model = MODELS[name]
        print(f"{model.name}{f', see {model.page}' * bool(model.page)}", flush=True)
        print(f"saved {fetch(model.remote(args.mirror), args.output / model.file_name)}")


if __name__ == "__main__":
    run(main)
