"""Speed and memory, measured.

    python scripts/benchmark.py inference --objects 1 3 10 --size 480 854 --memory_frames 20 --device cuda
    python scripts/benchmark.py speed --objects 1 3
    python scripts/benchmark.py stream --frames 300 3000 --objects 2 --late 10
    python scripts/benchmark.py train --amp bf16
    python scripts/benchmark.py data
    python scripts/benchmark.py files

inference: seconds for each frame (query, read, decode, memorise). Frames are noise held in memory: reading and writing
files is not part of the figures. Every configuration runs in a process of its own, so that its peak memory is its own.
The unit is one torchvision ResNet-50 forward pass (1x3xHxW, float32) timed in the same run; figures in this unit carry
over from machine to machine.

speed: every optimisation switched off by itself, and all of them, which is the published way of computing. The unit,
all on and one of the others take turns of two frames, of which the second is timed; "of all on" is the median ratio of
neighbouring turns, and "units" is that times the units of all on.

stream: peak memory and time per frame over made videos of several lengths.

train: seconds for each iteration (prepare, forward, loss, backward, update), and peak memory.

score: CPU time of J&F beside full frames in floating point.

data: training samples that one core makes in a second, beside a plain PIL pipeline with the same augmentation.

files: reading and writing, with a stand-in for the core that costs nothing: each of their optimisations switched off by
itself, and all of them, which is the published way. --network does it once more with a network at work.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from util.errors import run
from util.numbers import positive, whole


class Command(NamedTuple):
    """What a module of `scripts.bench` measures, whether on any device, and how often unless the user says."""

    help: str
    repeats: int | None = None
    device: bool = True


COMMANDS = {
    "inference": Command("how long a frame takes, part by part, and how much memory", 5),
    "speed": Command(
        "what each optimisation gives: time and memory with it and without it, and how far the masks agree", 3
    ),
    "stream": Command(
        "whether memory and time stay flat over a long video: "
        "made videos of several lengths, each in a process of its own"
    ),
    "train": Command(
        "how long a training iteration takes, part by part, and how much memory; or what each optimisation of it gives",
        5,
    ),
    "data": Command(
        "how many training samples a core makes in a second, beside a plain pil pipeline", 40, device=False
    ),
    "score": Command("what j&f cost, beside full frames in floating point", device=False),
    "files": Command(
        "what the optimisations of reading and writing give: time of segmenting a made video with and without each", 3
    ),
}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="|".join(COMMANDS))
    for name, (text, repeats, device) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if sys.argv[1:2] != [name]:  # its libraries would take seconds to load
            continue
        module = import_module(f"scripts.bench.{name}")
        module.add_arguments(command)
        if device:
            command.add_argument("--device", default="auto")
        if repeats is not None:
            command.add_argument("--warmup", type=whole(0), default=1)
            command.add_argument("--repeats", type=positive, default=repeats)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run(main)
