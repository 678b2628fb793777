"""Writes the weights of a checkpoint in another form.

    python scripts/convert_checkpoint.py --model saves/<run>/<run>_150000.pth --output saves/qdmn.pth --half
    python scripts/convert_checkpoint.py --model saves/<run>/<run>_150000.pth --output QDMN.pth --published

The input is a checkpoint of ours or a published one. --half stores filters in half precision; statistics, biases and
scales stay as they are. --published writes the names of the published code, for its scripts.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from model import Network
from model.weights.checkpoint import Checkpoint, read_weights, restore_network, save_checkpoint, save_published
from model.weights.published import PUBLISHED, published_name
from util.errors import InputError, run
from util.files import make_output_folder, require_apart, require_ours


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint, ours or published")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--half", action="store_true", help="our form with filters in half precision")
    form.add_argument("--published", action="store_true", help="as the published code reads it")
    args = parser.parse_args()
    require_apart([args.output], [args.model])
    require_ours(make_output_folder(args.output.absolute().parent) / args.output.name)
    network = restore_network(read_weights(args.model), args.model)
    if args.published:
        if network.arch not in PUBLISHED:
            raise InputError(f"{args.model} holds {network.arch}, which has no published form")
        save_published(args.output, network)
    else:
        state = network.state_dict()
        weights = {name: value.half() if args.half and value.ndim > 1 else value for name, value in state.items()}
        save_checkpoint(args.output, Checkpoint(network.arch, network.options, weights))
    print_parts(network)
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {network.arch}, {len(network.state_dict())} entries, {size:.1f} MB")


def print_parts(network: Network) -> None:
    """What went where: each part of the network, its published name where it has one, entries and numbers."""
    parts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for ours, value in network.state_dict().items():
        theirs = published_name(network.arch, ours) if network.arch in PUBLISHED else ""
        part = parts[ours.partition(".")[0], theirs.partition(".")[0]]
        part[0] += 1
        part[1] += value.numel()
    print(f"{'ours':20}{'published':20}{'entries':>8}{'numbers':>14}")
    for (ours, theirs), (entries, numbers) in parts.items():
        print(f"{ours:20}{theirs or '-':20}{entries:8}{numbers:14,}")


if __name__ == "__main__":
    run(main)
