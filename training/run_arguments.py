"""What the training scripts are told alike: the run, its reports, its batch; and how a run may go on."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.run_folder import name_fault
from util.errors import InputError
from util.numbers import positive, whole

FOUND_IN_DATA = {
    "samples": "the data hold",
    "several_objects": "whether the data hold several objects is",
    "trunk_weights": "the weights of the trunk are",
}

batch = whole(1, 2**16)


def add_run(group: argparse._ArgumentGroup, *, first_weights: str) -> None:
    """Options of a run; `first_weights` says what --load_network takes."""
    group.add_argument("--id", default="NULL", help="name of the run; NULL neither logs nor saves")
    group.add_argument("--load_network", type=Path, help=f"start from the weights of this {first_weights}")
    group.add_argument("--load_model", type=Path, help="resume from this training checkpoint")
    group.add_argument("--resume", choices=("auto",), help="go on with the newest run of this --id, if there is one")
    group.add_argument("--save_dir", type=Path, default=Path(), help="folder in which saves/ and log/ are made")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument(
        "--num_workers", type=whole(0, 1024), default=min(8, os.cpu_count() or 1), help="loaders of each process"
    )
    group.add_argument("--seed", type=whole(-(2**63), 2**63 - 1), default=14159265)
    group.add_argument("--tf32", action="store_true", help="float32 is multiplied as TF32 by a CUDA device")
    group.add_argument("--local_rank", "--local-rank", type=whole(0), default=0, help="set by torch.distributed.launch")


def add_reports(group: argparse._ArgumentGroup, *, picture_interval: int, by_iterations: bool = True) -> None:
    """Options of what is written during a run; with `by_iterations` when weights are saved, too."""
    if by_iterations:
        group.add_argument("--save_interval", type=positive, default=50_000, help="iterations between saved weights")
    group.add_argument(
        "--checkpoint_interval", type=positive, default=1000, help="iterations between training checkpoints"
    )
    group.add_argument("--log_interval", type=positive, default=100, help="iterations between logged scalars")
    group.add_argument(
        "--picture_interval", type=positive, default=picture_interval, help="iterations between logged pictures"
    )
    group.add_argument(
        "--max_unreadable", type=positive, default=100, help="unreadable samples after which the run ends"
    )
    group.add_argument(
        "--max_not_finite", type=positive, default=20, help="skipped iterations in a row after which the run ends"
    )


def add_batch(group: argparse._ArgumentGroup, *, size: int | None, size_help: str) -> None:
    """Options of the batch."""
    group.add_argument("-b", "--batch_size", type=batch, default=size, help=size_help)
    group.add_argument("--total_batch", type=batch, help="over all processes and parts; replaces --batch_size")
    group.add_argument("--grad_accum", type=batch, default=1, help="parts in which a process takes its batch")


def fault(args: argparse.Namespace, faults: Mapping[str, bool]) -> str:
    """What is wrong with the arguments; empty if nothing is.

    Args:
        args: of the run.
        faults: what else may be wrong, and whether it is.
    """
    found = {
        name_fault(args.id): True,
        "--resume needs the --id of the run": args.resume is not None and args.id == "NULL",
        "--resume auto finds the checkpoint itself; leave out --load_model": bool(args.resume and args.load_model),
        "--load_network starts a run and --load_model resumes one; give one of them": bool(
            args.load_network and args.load_model
        ),
        **faults,
    }
    return next((message for message, wrong in found.items() if message and wrong), "")


def share_batch(args: argparse.Namespace, world: int) -> None:
    """Set `total_batch` from `batch_size`, which is that of one process and part, or the other way round.

    Raises:
        InputError: the total cannot be shared evenly.
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


def check_same(args: argparse.Namespace, recorded: Mapping[str, Any], names: Iterable[str], path: Path) -> None:
    """Refuse to go on with a run under arguments that would make it another one.

    Args:
        args: of the run that is to go on.
        recorded: arguments of the checkpoint.
        names: of what must be the same; what is not recorded is not.
        path: of the checkpoint.

    Raises:
        InputError: an argument differs.
    """
    for name in names:
        now, before = getattr(args, name), recorded.get(name)
        if now != before:
            what = FOUND_IN_DATA.get(name, f"--{name} is")
            raise InputError(
                f"{what} {now} but {path} belongs to a run with {before}; resume with the same or start a new run from "
                "its weights by --load_network"
            )


def describe_batches(args: argparse.Namespace, samples: int, world: int, start: int) -> str:
    """How a run of iterations from `start` goes through the samples of its epochs."""
    steps = samples // args.total_batch
    return (
        f"batch {args.total_batch} ({world} processes x {args.grad_accum} parts x {args.batch_size}), {steps} "
        f"iterations per epoch, {-(-args.iterations // steps)} epochs\niterations {start} to {args.iterations}"
    )
