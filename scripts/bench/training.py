"""How long a training iteration takes, part by part, and how much memory."""

import argparse
import statistics

import torch

from datasets.clips import to_device
from model import NETWORKS, build_network, fitting_options
from model.resnet import STAGES as BACKBONES
from model.trainer import Trainer
from scripts.bench.timing import PartClock, measure
from util.device import choose_device, peak_memory_mb

PARTS = {"forward": "clip", "loss": "losses", "update": "update"}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py train`."""
    command.add_argument("--arch", choices=NETWORKS, default="qdmn")
    command.add_argument("--backbone", choices=BACKBONES, default="resnet50")
    command.add_argument("--freeze", choices=("layer1", "layer2", "layer3"))
    command.add_argument("--image_size", type=int, default=384)
    command.add_argument("--batch_size", type=int, default=4)
    command.add_argument("--num_objects", type=int, default=2)
    command.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off")
    command.add_argument("--compile", action="store_true")
    command.add_argument("--contiguous", action="store_true", help="plain memory layout instead of channels last")


def made_batch(args: argparse.Namespace) -> dict:
    """A batch of noise as the loaders deliver it."""
    size = (args.image_size, args.image_size)
    shape = (args.batch_size, 3)
    return {
        "frames": torch.randint(0, 256, (*shape, 3, *size), dtype=torch.uint8),
        "masks": (torch.rand(*shape, args.num_objects, *size) > 0.7).to(torch.uint8) * 255,
        "selector": torch.ones(args.batch_size, args.num_objects),
    }


def run(args: argparse.Namespace) -> None:
    """Time iterations on noise held in memory; loading data is not part of the figures."""
    device = choose_device(args.device)
    torch.manual_seed(0)
    network = build_network(args.arch, **fitting_options(args.arch, {"backbone": args.backbone}))
    if args.freeze:
        network.query_encoder.freeze(args.freeze)
    layout = torch.contiguous_format if args.contiguous else torch.channels_last
    trainer = Trainer(network.to(device, memory_format=layout), device, amp=args.amp, compile=args.compile)
    batch = made_batch(args)
    clock = PartClock(trainer, PARTS, device)
    prepare, steps = [], []
    for _ in range(args.warmup + args.repeats):
        seconds, ready = measure(lambda: to_device(batch, device), device)
        prepare.append(seconds)
        steps.append(measure(lambda ready=ready: trainer.step([ready]), device)[0])
    parts = {"prepare": statistics.median(prepare[args.warmup :]), **clock.medians(args.warmup)}
    step = statistics.median(steps[args.warmup :])
    parts["backward"] = step - sum(parts[part] for part in PARTS)
    whole = step + parts["prepare"]
    print(f"{args.arch} {args.backbone}, amp {args.amp}, frozen to {args.freeze}, {device.type}")
    print(f"{args.image_size} px, batch {args.batch_size} x 3 frames, {args.num_objects} objects; seconds, median of")
    print(f"{args.repeats} iterations")
    for part in ("prepare", "forward", "loss", "backward", "update"):
        print(f"{part:>10} {parts[part]:8.3f} s  {100 * parts[part] / whole:5.1f} %")
    print(f"{'iteration':>10} {whole:8.3f} s, {args.batch_size / whole:.2f} samples/s, {peak_memory_mb(device):.0f} MB")
