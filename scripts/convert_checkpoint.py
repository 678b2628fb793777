"""Writes the weights of a checkpoint in another form.

    python scripts/convert_checkpoint.py --model saves/<run>/<run>_150000.pth --output saves/qdmn.pth --half
    python scripts/convert_checkpoint.py --model saves/<run>/<run>_150000.pth --output QDMN.pth --published

The input is a checkpoint of ours or a published one. --half stores filters in half precision; statistics, biases and
scales stay as they are. --published writes the names of the published code, for its scripts.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.checkpoint import Checkpoint, load_network, save_checkpoint, save_published
from util.errors import InputError, run
from util.files import make_output_folder


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint, ours or published")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--half", action="store_true", help="our form with filters in half precision")
    form.add_argument("--published", action="store_true", help="a bare state dict with the published names")
    args = parser.parse_args()
    make_output_folder(args.output.absolute().parent)
    network = load_network(args.model, torch.device("cpu"))
    if args.published:
        if network.arch != "qdmn":
            raise InputError(f"{args.model} holds {network.arch}, which has no published form")
        save_published(args.output, network)
    else:
        state = network.state_dict()
        weights = {name: value.half() if args.half and value.ndim > 1 else value for name, value in state.items()}
        save_checkpoint(args.output, Checkpoint(network.arch, network.options, weights))
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {network.arch}, {len(network.state_dict())} entries, {size:.1f} MB")


if __name__ == "__main__":
    run(main)
