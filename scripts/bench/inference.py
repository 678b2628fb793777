"""How long a frame takes, part by part, and how much memory."""

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from inference.fast_form import for_inference
from inference_core import InferenceCore
from model import NETWORKS, build_network, fitting_options
from model.layers.resnet import BACKBONES
from model.memory.options import MemoryOptions
from model.memory.read import Memory, MemoryEntry, MemoryReader
from model.memory_network import MemoryNetwork, sum_of_others
from model.weights.checkpoint import load_network
from scripts.bench.measuring import PartClock, Turns, measure
from util.device import AUTOCAST, autocast, choose_device, keep_freed_memory, peak_memory_mb
from util.numbers import pixels, positive

STAGES = {"query": "encode_query", "read": "read", "decode": "decode", "memorise": "encode_memory"}


class Figures(NamedTuple):
    """Median seconds of each stage and of a whole frame; peak memory in MB; multiply-adds.

    Multiply-adds, in 10^9, are those of direct convolutions; `rate` is how many a large 3x3 one does in a second.
    """

    stages: dict[str, float]
    frame: float
    peak_mb: float
    giga: dict[str, float]
    rate: float


@torch.inference_mode()
def inference_figures(args: argparse.Namespace, objects: int) -> Figures:
    """Time frames with a full memory."""
    device = choose_device(args.device)
    keep_freed_memory(device)
    torch.manual_seed(0)
    network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone})).to(device).eval()
    giga = count_multiply_adds(network, args, objects, device)
    core, image = begin_stream(network, args, objects, device)
    with autocast(device, args.amp):
        clock = PartClock(network, STAGES, device)
        frames = [measure(lambda: core.step(image), device)[0] for _ in range(args.warmup + args.repeats)]
    stages = clock.medians(args.warmup)
    peak = peak_memory_mb(device)
    rate = convolution_rate(args, device)
    return Figures(stages, statistics.median(frames[args.warmup :]), peak, giga, rate)


def begin_stream(
    network: MemoryNetwork, args: argparse.Namespace, objects: int, device: torch.device
) -> tuple[InferenceCore, Tensor]:
    """A stream with a full memory, and the image that its frames show."""
    for_inference(network, device, amp=AUTOCAST[args.amp])
    core = InferenceCore(
        network, MemoryOptions(policy="latest", capacity=args.memory_frames, mem_every=1), score_all=False
    )
    image = torch.randn(3, *args.size, device=device)
    masks = (torch.rand(objects, *args.size, device=device) > 0.9).float()
    with autocast(device, args.amp):
        core.step(image, masks)
        fill_memory(core, args.memory_frames)
    return core, image


def timed_model(args: argparse.Namespace, objects: int, path: Path) -> Generator[Any, bool, None]:
    """The network of a file; after each turn the seconds of a frame, in the end the peak memory in MB."""
    device = choose_device(args.device)
    keep_freed_memory(device)
    torch.manual_seed(0)
    with torch.inference_mode():
        core, image = begin_stream(load_network(path, device), args, objects, device)
    again = yield None
    while again:
        with torch.inference_mode(), autocast(device, args.amp):
            seconds, _ = measure(partial(core.step, image), device)
        again = yield seconds
    yield peak_memory_mb(device)


def compare_models(args: argparse.Namespace) -> None:
    """Time the networks of files in turns, frame by frame; ratios are to the first."""
    height, width = args.size
    print(f"{height}x{width}, {args.memory_frames} memory frames, amp {args.amp}, {args.device}; in turns")
    print("objects     frame     ratio   peak MB")
    for objects in args.objects:
        with ExitStack() as stack:
            rivals = [stack.enter_context(Turns(timed_model, args, objects, path)) for path in args.models]
            turns = [[rival.next() for rival in rivals] for _ in range(args.warmup + args.repeats)][args.warmup :]
            for number, (path, rival) in enumerate(zip(args.models, rivals, strict=True)):
                seconds = statistics.median(turn[number] for turn in turns)
                ratio = statistics.median(turn[number] / turn[0] for turn in turns)
                print(f"{objects:7d}{seconds:10.3f}{ratio:10.2f}{rival.last():10.0f}  {path}")
    print(f"seconds and ratios to the first, medians of {args.repeats} after {args.warmup}")


def count_multiply_adds(
    network: MemoryNetwork, args: argparse.Namespace, objects: int, device: torch.device
) -> dict[str, float]:
    """What each stage of a frame takes, in 10^9."""
    height, width = (side + -side % 16 for side in args.size)
    image = torch.randn(1, 3, height, width, device=device)
    masks = torch.rand(1, objects, height, width, device=device)
    found = {}

    def counted(stage: str, work: Callable[[], Any]) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = work()
        found[stage] = counter.get_total_flops() / 2e9
        return result

    query = counted("query", lambda: network.encode_query(image, masks[:, :1]))
    entry = counted("memorise", lambda: network.encode_memory(image, masks, query, sum_of_others(masks), scored=False))
    memory = Memory(*(part.repeat(1, 1, args.memory_frames, 1) for part in entry[:2]))
    reader = MemoryReader(top_k=network.top_k, similarity=network.similarity)
    readout = counted("read", lambda: network.read(query, memory, reader))
    counted("decode", lambda: network.decode(query, readout))
    return found


def convolution_rate(args: argparse.Namespace, device: torch.device) -> float:
    """Multiply-adds of a 3x3 convolution with 512 channels in a second, in 10^9."""
    conv = torch.nn.Conv2d(512, 512, 3, padding=1).to(device)
    image = torch.randn(1, 512, 60, 108, device=device)
    with autocast(device, args.amp):
        seconds = [measure(lambda: conv(image), device)[0] for _ in range(args.warmup + args.repeats)]
    return 512 * 512 * 9 * 60 * 108 / 1e9 / statistics.median(seconds[args.warmup :])


def fill_memory(core: InferenceCore, frames: int) -> None:
    """Bring the bank to `frames` frames without segmenting any: noise is as slow to read as a real memory."""
    bank = core.memory.groups[0].bank
    key, value, _ = bank.memory
    for frame in range(1, frames):
        bank.remember(frame, MemoryEntry(torch.randn_like(key), torch.randn_like(value), None))


def unit_work(args: argparse.Namespace, device: torch.device) -> Callable[[], Tensor]:
    """One ResNet-50 forward pass at the padded frame size."""
    height, width = (side + -side % 16 for side in args.size)
    image = torch.randn(1, 3, height, width, device=device)
    return partial(torchvision.models.resnet50().to(device).eval(), image)


@torch.inference_mode()
def unit_seconds(args: argparse.Namespace) -> float:
    """Median seconds of the unit, in a process of its own."""
    device = choose_device(args.device)
    work = unit_work(args, device)
    seconds = [measure(work, device)[0] for _ in range(args.warmup + args.repeats)]
    return statistics.median(seconds[args.warmup :])


def print_inference(args: argparse.Namespace, figures: dict[int, Figures], unit: float) -> None:
    """A table with one row for each number of objects."""
    height, width = args.size
    network = f"{args.arch} {args.backbone}, amp {args.amp}, {args.device}"
    print(f"{network}; {height}x{width}, {args.memory_frames} memory frames")
    print("objects  " + "".join(f"{stage:>10}" for stage in STAGES) + "     frame     units   peak MB")
    for objects, row in figures.items():
        stages = "".join(f"{row.stages[stage]:10.3f}" for stage in STAGES)
        print(f"{objects:7d}  {stages}{row.frame:10.3f}{row.frame / unit:10.2f}{row.peak_mb:10.0f}")
        counts = "".join(f"{row.giga[stage]:10.1f}" for stage in STAGES)
        total = sum(row.giga.values())
        share = 100 * total / row.frame / row.rate
        print(f"{'':9}{counts}{total:10.1f}  10^9 multiply-adds, {share:.0f} % of the rate of a 3x3 convolution")
    print(f"seconds, median of {args.repeats} after {args.warmup}; the unit is {unit:.3f} s")


def run(args: argparse.Namespace) -> None:
    """Time `InferenceCore.step` for each number of objects, in a process of its own."""
    if args.models:
        compare_models(args)
        return
    spawn = multiprocessing.get_context("spawn")
    figures = {}
    with spawn.Pool(1) as pool:
        unit = pool.apply(unit_seconds, (args,))
    for objects in args.objects:
        with spawn.Pool(1) as pool:
            figures[objects] = pool.apply(inference_figures, (args, objects))
    print_inference(args, figures, unit)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py inference`."""
    command.add_argument("--arch", choices=NETWORKS, default="qdmn")
    command.add_argument("--backbone", choices=BACKBONES, default="resnet50")
    command.add_argument("--models", type=Path, nargs="+", metavar="FILE", help="checkpoints to compare instead")
    command.add_argument("--objects", type=positive, nargs="+", default=[1, 3])
    command.add_argument("--size", type=pixels, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--memory_frames", type=positive, default=20)
    command.add_argument("--amp", choices=AUTOCAST, default="off")
