"""How long a training iteration takes, part by part, and how much memory; or what each optimisation of it gives."""

import argparse
import multiprocessing
import statistics
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from datasets.train.clips import to_device
from model import NETWORKS, build_network, fitting_options
from model.layers.resnet import BACKBONES
from model.memory.bank import concatenate
from model.memory.read import MemoryEntry
from model.memory_network import AffinityNetwork, MemoryNetwork, QueryFeatures, sum_of_others
from scripts.bench.measuring import PartClock, measure
from scripts.bench.plain import EXACT as PUBLISHED
from scripts.bench.plain import MEMORY
from training.trainer import Trainer
from util.device import choose_device, keep_freed_memory, peak_memory_mb
from util.errors import InputError
from util.numbers import pixels, positive

PARTS = {"forward": "clip", "loss": "losses", "update": "update"}
EXACT = {
    "channels last": "channels first",
    "fused optimiser": "the optimiser goes from tensor to tensor",
    "objects at once": "frames are memorised and decoded for one object after the other",
    MEMORY: PUBLISHED[MEMORY],
}


class Figures(NamedTuple):
    """Median seconds of each part and of a whole iteration; seconds of the warm-up; peak memory in MB; last loss."""

    parts: dict[str, float]
    iteration: float
    warmup: float
    peak_mb: float
    loss: float


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py train`."""
    command.add_argument("--arch", choices=NETWORKS, default="qdmn")
    command.add_argument("--backbone", choices=BACKBONES, default="resnet50")
    command.add_argument("--freeze", choices=("layer1", "layer2", "layer3"))
    command.add_argument("--image_size", type=pixels, default=384)
    command.add_argument("--batch_size", type=positive, default=4)
    command.add_argument("--num_objects", type=positive, default=2)
    command.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off")
    command.add_argument("--compile", action="store_true")
    choice = command.add_mutually_exclusive_group()
    choice.add_argument("--without", nargs="+", choices=EXACT, default=[], help="optimisations that are off")
    choice.add_argument("--rows", action="store_true", help="a table: each optimisation off by itself, and all of them")


def made_batch(args: argparse.Namespace) -> dict:
    """A batch of noise as the loaders deliver it."""
    size = (args.image_size, args.image_size)
    shape = (args.batch_size, 3)
    return {
        "frames": torch.randint(0, 256, (*shape, 3, *size), dtype=torch.uint8),
        "masks": (torch.rand(*shape, args.num_objects, *size) > 0.7).to(torch.uint8) * 255,
        "selector": torch.ones(args.batch_size, args.num_objects),
    }


@contextmanager
def without(network: MemoryNetwork, names: Collection[str]) -> Iterator[None]:
    """As published, what is named and not a matter of memory layout."""
    with ExitStack() as stack:
        if "fused optimiser" in names:
            stack.enter_context(patch("training.trainer.FUSED", ()))
        if "objects at once" in names:
            stack.enter_context(objects_in_turn(network))
        yield


def objects_in_turn(network: MemoryNetwork) -> AbstractContextManager[object]:
    """Memorise and decode one object after the other."""
    encode_memory, decode = network.encode_memory, network.decode

    def encode_each(
        image: Tensor, masks: Tensor, query: QueryFeatures | None = None, others: Tensor | None = None
    ) -> MemoryEntry:
        others = sum_of_others(masks) if others is None else others
        pairs = zip(masks.split(1, 1), others.split(1, 1), strict=True)
        return concatenate([encode_memory(image, own, query, other) for own, other in pairs])

    def decode_each(query: QueryFeatures, readout: Tensor) -> Tensor:
        return torch.cat([decode(query, own) for own in readout.split(1, 1)], 1)

    return patch.multiple(network, encode_memory=encode_each, decode=decode_each)


def measure_iterations(args: argparse.Namespace) -> Figures:
    """Time iterations on noise held in memory; loading data is not part of the figures."""
    device = choose_device(args.device)
    if MEMORY not in args.without:
        keep_freed_memory(device)
    torch.manual_seed(0)
    network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone}))
    if args.freeze:
        if not isinstance(network, AffinityNetwork):
            raise InputError(f"--freeze is for ResNet encoders; leave it out with {args.arch}")
        network.query_encoder.freeze(args.freeze)
    layout = torch.contiguous_format if "channels last" in args.without else torch.channels_last
    network.to(device).to(memory_format=layout)
    with without(network, args.without):
        trainer = Trainer(network, device, amp=args.amp, compile=args.compile)
        clock = PartClock(trainer, PARTS, device)
        batch = made_batch(args)
        prepare: list[float] = []
        steps: list[float] = []
        for _ in range(args.warmup + args.repeats):
            seconds, ready = measure(lambda: to_device(batch, device), device)
            prepare.append(seconds)
            seconds, (losses, *_) = measure(partial(trainer.step, [ready]), device)
            steps.append(seconds)
    parts = {"prepare": statistics.median(prepare[args.warmup :]), **clock.medians(args.warmup)}
    step = statistics.median(steps[args.warmup :])
    parts["backward"] = step - sum(parts[part] for part in PARTS)
    loss = float(losses["total_loss"])
    return Figures(parts, step + parts["prepare"], sum(steps[: args.warmup]), peak_memory_mb(device), loss)


def run(args: argparse.Namespace) -> None:
    """Print the parts of an iteration, or the rows."""
    print(f"{args.arch} {args.backbone}, amp {args.amp}, frozen to {args.freeze}, {args.device}")
    print(f"{args.image_size} px, batch {args.batch_size} x 3 frames, {args.num_objects} objects; seconds, median of")
    print(f"{args.repeats} iterations")
    if args.rows:
        print_rows(args)
        return
    figures = measure_iterations(args)
    for part in ("prepare", "forward", "loss", "backward", "update"):
        seconds = figures.parts[part]
        print(f"{part:>10} {seconds:8.3f} s  {100 * seconds / figures.iteration:5.1f} %")
    rate = args.batch_size / figures.iteration
    print(f"{'iteration':>10} {figures.iteration:8.3f} s, {rate:.2f} samples/s, {figures.peak_mb:.0f} MB")
    print(f"{'warm-up':>10} {figures.warmup:8.3f} s for {args.warmup}")


def print_rows(args: argparse.Namespace) -> None:
    """Every setting in a process of its own, beside all on."""
    settings: dict[str, dict] = {"all on": {}, "plain": {"without": list(EXACT)}}
    settings |= {f"without {name}": {"without": [name]} for name in EXACT}
    settings |= {"bf16": {"amp": "bf16"}} | ({"compiled": {"compile": True}} if args.compile else {})
    print(f"{'':28}{'s':>9}{'of all on':>11}{'update s':>10}{'peak MB':>9}{'warm-up s':>11}{'loss':>9}")
    spawn = multiprocessing.get_context("spawn")
    best = None
    for name, setting in settings.items():
        with spawn.Pool(1) as pool:
            chosen = {"compile": False, "without": [], **setting}
            row = pool.apply(measure_iterations, (argparse.Namespace(**{**vars(args), **chosen}),))
        best = best or row
        ratio = row.iteration / best.iteration
        print(
            f"{name:28}{row.iteration:9.3f}{ratio:11.2f}{row.parts['update']:10.3f}{row.peak_mb:9.0f}"
            f"{row.warmup:11.1f}{row.loss:9.4f}",
            flush=True,
        )
