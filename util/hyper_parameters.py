"""The arguments of a training run: defaults, checks, and what must stay the same when it goes on."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from util.errors import InputError
from util.stage_defaults import STAGES
from util.train_arguments import training_parser

INTERVALS = ("save_interval", "checkpoint_interval", "val_interval", "log_interval", "picture_interval")
COUNTS = ("batch_size", "grad_accum", "num_objects", "samples_per_video", "iterations", "max_unreadable")
COUNTS += ("max_not_finite", *INTERVALS)
MIN_SIDE = 32
SAME_ON_RESUME = (
    "stage",
    "arch",
    "quality_head",
    "train_only",
    "backbone",
    "freeze",
    "no_pretrained_backbone",
    "drop_path",
    "score_activation",
    "image_size",
)
SAME_ON_RESUME += ("clip_length", "num_objects", "max_skip", "soft_masks", "repeat_frames", "samples", "total_batch")
SAME_ON_RESUME += ("samples_per_video", "skip_growth", "skip_start", "clip_draw", "augmentation")
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
    "optimizer",
    "momentum",
)
# What runs did before they recorded it.
UNRECORDED = {
    "optimizer": "adam",
    "clip_draw": "mivos",
    "augmentation": "mivos",
    "skip_growth": 0,
    "samples_per_video": 1,
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run, with the defaults of its stage filled in."""
    parser = training_parser()
    args = parser.parse_args(arguments)
    if args.stage not in STAGES[args.arch]:
        parser.error(f"--stage {args.stage} is none of {args.arch}; it has {', '.join(map(str, STAGES[args.arch]))}")
    for name, value in STAGES[args.arch][args.stage]._asdict().items():
        if getattr(args, name) is None:
            setattr(args, name, list(value) if name == "steps" else value)
    if message := _fault(args):
        parser.error(message)
    args.image_size = (args.image_size[0], args.image_size[-1])
    args.skip_start = tuple(args.skip_start)
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
        "--image_size is one number, or height and width": len(args.image_size) > 2,
        f"--image_size must be at least {MIN_SIDE}": min(args.image_size) < MIN_SIDE,
        "--skip_growth must not be negative": args.skip_growth < 0,
        "--skip_growth is for stage 2; stage 1 has a list of skips": args.skip_growth > 0 and args.stage == 1,
        "--skip_start must be at least 1 1": min(args.skip_start) < 1,
        "--repeat_frames belongs to --clip_draw mivos": args.repeat_frames and args.clip_draw != "mivos",
        "--drop_path must be at least 0 and less than 1": not 0 <= args.drop_path < 1,
        "--momentum must be at least 0 and less than 1": not 0 <= args.momentum < 1,
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
    recorded = {**UNRECORDED, **recorded}
    if isinstance(side := recorded.get("image_size"), int):
        recorded["image_size"] = (side, side)
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
