"""The arguments of a training run: defaults, checks, and what must stay the same when it goes on."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.arguments import training_parser
from training.run_arguments import check_same, fault, share_batch
from training.stage_defaults import STAGES
from util.errors import InputError

SAME_ON_RESUME = ("stage", "arch", "quality_head", "train_only", "backbone", "freeze", "no_pretrained_backbone")
SAME_ON_RESUME += ("drop_path", "score_activation", "image_size", "clip_length", "num_objects", "max_skip")
SAME_ON_RESUME += ("soft_masks", "repeat_frames", "samples", "total_batch", "samples_per_video", "skip_growth")
SAME_ON_RESUME += ("skip_start", "clip_draw", "augmentation", "iterations", "steps", "lr", "gamma", "amp")
SAME_ON_RESUME += ("quality_target", "seed", "objective", "loss", "weight_decay", "optimizer", "momentum")
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
    faults = {
        "--val_root needs an --id, under which the results are saved": args.val_root is not None and args.id == "NULL",
        "--image_size is one number, or height and width": len(args.image_size) > 2,
        "--skip_growth is for stage 2; stage 1 has a list of skips": args.skip_growth > 0 and args.stage == 1,
        "--repeat_frames belongs to --clip_draw mivos": args.repeat_frames and args.clip_draw != "mivos",
        "--drop_path must be less than 1": args.drop_path == 1,
        "--momentum must be less than 1": args.momentum == 1,
        "--train_only quality_head needs a trained network; give it by --load_network": bool(
            args.train_only and not (args.load_network or args.load_model or args.resume)
        ),
    }
    return fault(args, faults)


def fill_batch(args: argparse.Namespace, world: int) -> None:
    """Set `total_batch` from `batch_size`, which is that of one process and part, or the other way round.

    Raises:
        InputError: the total cannot be shared evenly, or batch-norm would learn from single objects.
    """
    share_batch(args, world)
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
    check_same(args, recorded, SAME_ON_RESUME, path)


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
