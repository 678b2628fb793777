"""How long a frame takes, part by part, and how much memory."""

import argparse
import multiprocessing
import statistics
from typing import NamedTuple

import torch
import torchvision

from inference_core import InferenceCore
from model import NETWORKS, build_network, fitting_options
from model.memory_read import MemoryEntry
from model.resnet import STAGES as BACKBONES
from scripts.bench.timing import PartClock, measure
from util.device import AUTOCAST, autocast, choose_device, peak_memory_mb

STAGES = {"query": "encode_query", "read": "read", "decode": "decode", "memorise": "encode_memory"}


class Figures(NamedTuple):
    """Median seconds of each stage, of a whole frame and of the unit; peak memory in MB."""

    stages: dict[str, float]
    frame: float
    unit: float
    peak_mb: float


@torch.inference_mode()
def inference_figures(args: argparse.Namespace, objects: int) -> Figures:
    """Time frames with a full memory."""
    device = choose_device(args.device)
    torch.manual_seed(0)
    network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone})).to(device).eval()
    core = InferenceCore(network, capacity=args.memory_frames, mem_every=1, policy="latest")
    image = torch.randn(3, *args.size, device=device)
    masks = (torch.rand(objects, *args.size, device=device) > 0.9).float()
    with autocast(device, args.amp):
        core.step(image, masks)
        fill_memory(core, args.memory_frames)
        clock = PartClock(network, STAGES, device)
        frames = [measure(lambda: core.step(image), device)[0] for _ in range(args.warmup + args.repeats)]
    stages = clock.medians(args.warmup)
    peak = peak_memory_mb(device)
    return Figures(stages, statistics.median(frames[args.warmup :]), unit_seconds(args, device), peak)


def fill_memory(core: InferenceCore, frames: int) -> None:
    """Bring the bank to `frames` frames without segmenting any: noise is as slow to read as a real memory."""
    bank = core.memory.groups[0].bank
    key, value = bank.memory
    for frame in range(1, frames):
        bank.remember(frame, MemoryEntry(torch.randn_like(key), torch.randn_like(value), None))


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
    network = f"{args.arch} {args.backbone}, amp {args.amp}, {args.device}"
    print(f"{network}; {height}x{width}, {args.memory_frames} memory frames")
    print("objects  " + "".join(f"{stage:>10}" for stage in STAGES) + "     frame     units   peak MB")
    for objects, row in figures.items():
        stages = "".join(f"{row.stages[stage]:10.3f}" for stage in STAGES)
        print(f"{objects:7d}  {stages}{row.frame:10.3f}{row.frame / row.unit:10.2f}{row.peak_mb:10.0f}")
    print(f"seconds, median of {args.repeats} after {args.warmup}; the unit is {figures[args.objects[0]].unit:.3f} s")


def run(args: argparse.Namespace) -> None:
    """Time `InferenceCore.step` for each number of objects, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    figures = {}
    for objects in args.objects:
        with spawn.Pool(1) as pool:
            figures[objects] = pool.apply(inference_figures, (args, objects))
    print_inference(args, figures)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py inference`."""
    command.add_argument("--arch", choices=NETWORKS, default="qdmn")
    command.add_argument("--backbone", choices=BACKBONES, default="resnet50")
    command.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    command.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--memory_frames", type=int, default=20)
    command.add_argument("--amp", choices=AUTOCAST, default="off")
