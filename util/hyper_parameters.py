"""Command line of train.py."""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from util.errors import InputError
from util.stage_defaults import STAGES

INTERVALS = ("save_interval", "checkpoint_interval", "val_interval", "log_interval", "picture_interval")
COUNTS = ("batch_size", "grad_accum", "num_objects", "iterations", "max_unreadable", "max_not_finite", *INTERVALS)
SAME_ON_RESUME = (
    "stage",
    "arch",
    "quality_head",
    "train_only",
    "backbone",
    "freeze",
    "no_pretrained_backbone",
    "score_activation",
    "image_size",
)
SAME_ON_RESUME += ("clip_length", "num_objects", "max_skip", "soft_masks", "repeat_frames", "samples", "total_batch")
SAME_ON_RESUME += (
    "iterations",
    "steps",
    "lr",
    "gamma",
    "amp",
    "quality_target",
    "seed",
    "objective",
    "loss",
    "weight_decay",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train a network: python train.py, torchrun train.py, python -m torch.distributed.launch train.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_run(parser.add_argument_group("run"))
    _add_reports(parser.add_argument_group("reports and checkpoints"))
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    return parser


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--id", default="NULL", help="name of the run; NULL neither logs nor saves")
    group.add_argument(
        "--stage",
        type=int,
        choices=range(4),
        default=0,
        help="0 pictures, 1 BL30K, 2 DAVIS + YouTube, 3 of STCN: 2, shorter",
    )
    group.add_argument("--load_network", type=Path, help="start from the weights of this checkpoint")
    group.add_argument("--load_model", type=Path, help="resume from this training checkpoint")
    group.add_argument("--resume", choices=("auto",), help="go on with the newest run of this --id, if there is one")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument("--num_workers", type=int, default=min(8, os.cpu_count() or 1), help="loaders of each process")
    group.add_argument("--seed", type=int, default=14159265)
    group.add_argument("--benchmark", action="store_true", help="let cuDNN look for the fastest algorithms")
    group.add_argument("--compile", action="store_true", help="let torch.compile fuse the network's operations")
    group.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by torch.distributed.launch")


def _add_reports(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save_interval", type=int, default=50_000, help="iterations between saved weights")
    group.add_argument("--checkpoint_interval", type=int, default=1000, help="iterations between training checkpoints")
    group.add_argument("--log_interval", type=int, default=100, help="iterations between logged scalars")
    group.add_argument("--picture_interval", type=int, default=800, help="iterations between logged pictures")
    group.add_argument("--debug", action="store_true", help="log scalars and pictures on every iteration")
    group.add_argument("--val_root", type=Path, help="DAVIS 2017 tree whose val videos are scored now and then")
    group.add_argument("--val_interval", type=int, default=5000, help="iterations between validations")
    group.add_argument("--max_unreadable", type=int, default=100, help="unreadable samples after which the run ends")
    group.add_argument(
        "--max_not_finite", type=int, default=20, help="skipped iterations in a row after which the run ends"
    )


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--static_root", type=Path, default=Path("data/static"))
    group.add_argument("--bl_root", type=Path, default=Path("data/BL30K"))
    group.add_argument(
        "--yv_root", type=Path, default=Path("data/YouTube"), help="'none' trains stage 2 without YouTube"
    )
    group.add_argument(
        "--davis_root", type=Path, default=Path("data/DAVIS"), help="'none' trains stage 2 without DAVIS"
    )
    group.add_argument(
        "--yv_list", type=Path, help="file with the names of the YouTube videos to train on; all by default"
    )
    group.add_argument("--image_size", type=int, default=384, help="side of the training crops, in pixels")
    group.add_argument("--clip_length", type=int, default=3, help="frames of a training clip")
    group.add_argument("--num_objects", type=int, default=2, help="most objects of a clip in stages 1 and 2")
    group.add_argument("--max_skip", type=int, help="upper limit on the published frame skips, for fast or short clips")
    group.add_argument("--soft_masks", action="store_true", help="stage 0 with soft masks, as published")
    group.add_argument("--repeat_frames", action="store_true", help="clips may repeat a frame, as published")
    group.add_argument(
        "--data_backend", choices=("cpu", "gpu"), default="cpu", help="where frames are augmented: loaders or --device"
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--arch", choices=STAGES, default="qdmn", help="qdmn_small: one image encoder, narrow heads")
    group.add_argument("--quality_head", action="store_true", help="add QDMN's quality scorer to a network without one")
    group.add_argument("--train_only", choices=("quality_head",), help="everything else keeps its weights")
    group.add_argument(
        "--backbone",
        choices=("resnet18", "resnet34", "resnet50", "resnet50_v1", "resnet101"),
        default="resnet50",
        help="v1: stride on the 1x1 convolutions, for weights trained so",
    )
    group.add_argument(
        "--backbone_weights",
        type=Path,
        nargs="+",
        default=[],
        help="ImageNet weights, for each kind of encoder one file; by default torchvision's, downloaded",
    )
    group.add_argument(
        "--no_pretrained_backbone", action="store_true", help="start from nothing, learn batch-norm statistics"
    )
    group.add_argument(
        "--freeze",
        choices=("layer1", "layer2", "layer3"),
        help="the image encoder keeps its weights up to this stage; by default all learn",
    )
    group.add_argument("--score_activation", choices=("sigmoid", "relu"), default="sigmoid", help="relu as published")


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-b", "--batch_size", type=int, help="for each process; published by default")
    group.add_argument("--total_batch", type=int, help="over all processes and parts; replaces --batch_size")
    group.add_argument("--grad_accum", type=int, default=1, help="parts in which a process takes its batch")
    group.add_argument("-i", "--iterations", type=int, help="published by default")
    group.add_argument("--steps", type=int, nargs="*", help="iterations at which the rate falls; published by default")
    group.add_argument("--lr", type=float, help="published by default: 2e-5 for QDMN, else 1e-5")
    group.add_argument("--weight_decay", type=float, help="published by default: 1e-7, STM-Cycle 5e-4")
    group.add_argument("--gamma", type=float, default=0.1, help="factor of the rate at each step")
    group.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision")
    group.add_argument(
        "--objective",
        choices=("forward", "cycle"),
        help="cycle: every later frame also reconstructs the first one (by default for STM-Cycle)",
    )
    group.add_argument(
        "--loss",
        choices=("bootstrapped", "ce", "iou", "both"),
        help="ce, iou or both as in STM-Cycle (its default is both), else bootstrapped",
    )
    group.add_argument(
        "--published_gate", action="store_true", help="cycle only from frames that show the last object, as published"
    )
    group.add_argument(
        "--quality_target",
        choices=("object", "both"),
        default="object",
        help="both: means over two objects, as published",
    )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run, with the defaults of its stage filled in."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.stage not in STAGES[args.arch]:
        parser.error(f"--stage {args.stage} is none of {args.arch}; it has {', '.join(map(str, STAGES[args.arch]))}")
    for name, value in STAGES[args.arch][args.stage]._asdict().items():
        if getattr(args, name) is None:
            setattr(args, name, list(value) if name == "steps" else value)
    if message := _fault(args):
        parser.error(message)
    if args.debug:
        args.log_interval = args.picture_interval = 1
    return args


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments; empty if nothing is."""
    optional = [name for name in ("max_skip", "total_batch") if getattr(args, name) is not None]
    for name in (*COUNTS, *optional):
        if getattr(args, name) < 1:
            return f"--{name} must be at least 1"
    faults = {
        "--num_workers must not be negative": args.num_workers < 0,
        "--lr must be a positive number": not 0 < args.lr < math.inf,
        "--clip_length must be at least 2": args.clip_length < 2,
        "--id is a name, not a path": "/" in args.id or "\\" in args.id,
        "--resume needs the --id of the run": args.resume is not None and args.id == "NULL",
        "--val_root needs an --id, under which the results are saved": args.val_root is not None and args.id == "NULL",
        "--image_size must be a multiple of 16, at least 32": args.image_size % 16 != 0 or args.image_size < 32,
        "--load_network starts a run and --load_model resumes one; give one of them": bool(
            args.load_network and args.load_model
        ),
        "--train_only quality_head needs a trained network; give it by --load_network": bool(
            args.train_only and not (args.load_network or args.load_model or args.resume)
        ),
        "--resume auto finds the checkpoint itself; leave out --load_model": bool(args.resume and args.load_model),
    }
    return next((message for message, wrong in faults.items() if wrong), "")


def fill_batch(args: argparse.Namespace, world: int) -> None:
    """Set `total_batch` from `batch_size`, which is that of one process and part, or the other way round.

    Raises:
        InputError: the total cannot be shared evenly, or batch-norm would learn from single objects.
    """
    shares = world * args.grad_accum
    if args.total_batch is None:
        args.total_batch = args.batch_size * shares
    if args.total_batch % shares:
        raise InputError(
            f"--total_batch {args.total_batch} cannot be shared by {world} processes in {args.grad_accum} parts each; "
            f"make it a multiple of {shares}"
        )
    args.batch_size = args.total_batch // shares
    if args.no_pretrained_backbone and args.stage == 0 and args.batch_size == 1:
        raise InputError("--no_pretrained_backbone learns batch-norm statistics, which needs -b of at least 2")


def check_resumable(args: argparse.Namespace, recorded: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on with a run under arguments that would make it another one.

    Raises:
        InputError: an argument differs from the checkpoint's.
    """
    for name in SAME_ON_RESUME:
        if name in recorded and recorded[name] != getattr(args, name):
            what = "the data hold" if name == "samples" else f"--{name} is"
            raise InputError(
                f"{what} {getattr(args, name)} but {path} belongs to a run with {recorded[name]}; resume with the same "
                "or start a new run from its weights by --load_network"
            )


def describe_run(args: argparse.Namespace, world: int, start: int) -> str:
    """What is about to be trained, in two lines."""
    steps = args.samples // args.total_batch
    falls = [step for step in args.steps if step < args.iterations]
    return (
        f"stage {args.stage}: {args.samples} samples, batch {args.total_batch} ({world} processes x {args.grad_accum} "
        f"parts x {args.batch_size}), {steps} iterations per epoch, {-(-args.iterations // steps)} epochs\n"
        f"iterations {start} to {args.iterations}, rate {args.lr:g}"
        + (f", times {args.gamma:g} at {', '.join(map(str, falls))}" if falls else ", constant")
    )
