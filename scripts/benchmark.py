"""How long a frame takes, part by part, and how much memory.

    python scripts/benchmark.py inference
    python scripts/benchmark.py inference --objects 1 3 10 --size 480 854 --memory_frames 20 --device cuda

Frames are noise held in memory: reading and writing files is not part of the figures. Every configuration runs in a
process of its own, so that its peak memory is its own. The unit is one torchvision ResNet-50 forward pass
(1x3xHxW, float32) timed in the same process; figures in this unit carry over from machine to machine.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference_core import InferenceCore
from model import build_network
from model.memory_read import MemoryEntry
from util.device import AUTOCAST, choose_device, peak_memory_mb, synchronise
from util.errors import run

STAGES = {"query": "encode_query", "read": "read", "decode": "decode", "memorise": "encode_memory"}


class Figures(NamedTuple):
    """Median seconds of each stage, of a whole frame and of the unit; peak memory in MB."""

    stages: dict[str, float]
    frame: float
    unit: float
    peak_mb: float


class StageClock:
    """Times the calls of some methods of a network."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._device = device
        for stage, method in STAGES.items():
            setattr(network, method, self._timed(stage, getattr(network, method)))

    def _timed(self, stage: str, method: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            seconds, result = measure(lambda: method(*args, **kwargs), self._device)
            self.seconds[stage].append(seconds)
            return result

        return call


def measure(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds that the work takes on the device, and its result."""
    synchronise(device)
    begin = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - begin, result


@torch.inference_mode()
def inference_figures(args: argparse.Namespace, objects: int) -> Figures:
    """Time frames with a full memory."""
    device = choose_device(args.device)
    torch.manual_seed(0)
    network = build_network("qdmn", backbone=args.backbone).to(device).eval()
    core = InferenceCore(network, capacity=args.memory_frames, mem_every=1, policy="latest")
    image = torch.randn(3, *args.size, device=device)
    masks = (torch.rand(objects, *args.size, device=device) > 0.9).float()
    with torch.autocast(device.type, dtype=AUTOCAST[args.amp], enabled=args.amp != "off"):
        core.step(image, masks)
        fill_memory(core, args.memory_frames)
        clock = StageClock(network, device)
        frames = [measure(lambda: core.step(image), device)[0] for _ in range(args.warmup + args.repeats)]
    stages = {stage: statistics.median(seconds[args.warmup :]) for stage, seconds in clock.seconds.items()}
    peak = peak_memory_mb(device)
    return Figures(stages, statistics.median(frames[args.warmup :]), unit_seconds(args, device), peak)


def fill_memory(core: InferenceCore, frames: int) -> None:
    """Bring the bank to `frames` frames without segmenting any: noise is as slow to read as a real memory."""
    key, value = core.bank.memory
    for frame in range(1, frames):
        core.bank.remember(frame, MemoryEntry(torch.randn_like(key), torch.randn_like(value), None))


def unit_seconds(args: argparse.Namespace, device: torch.device) -> float:
    """Median seconds of one ResNet-50 forward pass at the padded frame size."""
    height, width = (side + -side % 16 for side in args.size)
    image = torch.randn(1, 3, height, width, device=device)
    network = torchvision.models.resnet50().to(device).eval()
    seconds = [measure(lambda: network(image), device)[0] for _ in range(args.warmup + args.repeats)]
    return statistics.median(seconds[args.warmup :])


def print_inference(args: argparse.Namespace, figures: dict[int, Figures]) -> None:
    """A table with one row for each number of objects."""
    height, width = args.size
    print(f"QDMN {args.backbone}, {height}x{width}, {args.memory_frames} memory frames, amp {args.amp}, {args.device}")
    print("objects  " + "".join(f"{stage:>10}" for stage in STAGES) + "     frame     units   peak MB")
    for objects, row in figures.items():
        stages = "".join(f"{row.stages[stage]:10.3f}" for stage in STAGES)
        print(f"{objects:7d}  {stages}{row.frame:10.3f}{row.frame / row.unit:10.2f}{row.peak_mb:10.0f}")
    print(f"seconds, median of {args.repeats} after {args.warmup}; the unit is {figures[args.objects[0]].unit:.3f} s")


def inference(args: argparse.Namespace) -> None:
    """Benchmark `InferenceCore.step`."""
    spawn = multiprocessing.get_context("spawn")
    figures = {}
    for objects in args.objects:
        with spawn.Pool(1) as pool:
            figures[objects] = pool.apply(inference_figures, (args, objects))
    print_inference(args, figures)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="inference")
    command = commands.add_parser("inference", help="seconds for each frame: query, read, decode, memorise")
    command.set_defaults(run=inference)
    command.add_argument("--backbone", choices=("resnet18", "resnet50"), default="resnet50")
    command.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    command.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--memory_frames", type=int, default=20)
    command.add_argument("--device", default="auto")
    command.add_argument("--amp", choices=AUTOCAST, default="off")
    command.add_argument("--warmup", type=int, default=1)
    command.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run(main)
