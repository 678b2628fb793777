"""What the runs of the training scripts have in common: beginning, checkpoint, loader, folder, reports."""

import argparse
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader

from datasets.train.clip_sampler import ClipSampler, RequestedSamples, SampleRequest
from datasets.train.clips import Sample, collate
from model.weights.checkpoint import Checkpoint, load_checkpoint, load_newest
from training.log import TrainingLogger
from training.run_folder import ROOT as SAVES
from training.run_folder import BadSamples, RunFolder, checkpoints_of, new_run_folder
from util.device import allow_tf32, keep_freed_memory
from util.distributed import Process, from_leader, start
from util.errors import InputError, ignore_stop_signals
from util.files import held

Collate = Callable[[Sequence[Sample]], Sample]


def begin(args: argparse.Namespace) -> Process:
    """Join the other processes, and set what holds for all that this one computes."""
    process = start(args.device, args.local_rank)
    keep_freed_memory(process.device)
    allow_tf32(args.tf32)
    torch.manual_seed(args.seed)
    return process


def find_checkpoint(args: argparse.Namespace, networks: Collection[str]) -> tuple[Path, Checkpoint] | None:
    """The training checkpoint that the run resumes from, if it does.

    Args:
        args: of the run.
        networks: names of those that the script trains.

    Raises:
        InputError: it is not a training checkpoint of ours, or is of another network.
    """
    found = None
    if args.load_model:
        found = args.load_model, load_checkpoint(args.load_model)
    elif args.resume == "auto":
        found = load_newest(checkpoints_of(args.id, args.save_dir / SAVES))
    if found is not None and found[1].arch not in networks:
        raise InputError(f"{found[0]} belongs to a run of {found[1].arch}; resume it with the script that began it")
    return found


def build_loader(
    data: RequestedSamples, args: argparse.Namespace, process: Process, start: int, collate: Collate = collate
) -> DataLoader:
    """Batches of this process from iteration `start` to the end, put together by `collate`."""
    sampler = ClipSampler(
        len(data),
        total_batch=args.total_batch,
        iterations=args.iterations,
        start=start,
        parts=args.grad_accum,
        rank=process.rank,
        world=process.world,
        seed=args.seed,
    )
    return load_batches(data, sampler, args, process, collate)


def load_batches(
    data: RequestedSamples,
    batches: Iterable[list[SampleRequest]],
    args: argparse.Namespace,
    process: Process,
    collate: Collate,
) -> DataLoader:
    """Samples of these batches of requests, put together by `collate`."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=args.num_workers,
        collate_fn=collate,
        pin_memory=process.device.type == "cuda",
        worker_init_fn=_start_worker,
    )


def _start_worker(number: int) -> None:
    ignore_stop_signals()
    cv2.setNumThreads(0)


@contextmanager
def run_folder(
    args: argparse.Namespace, process: Process, found: tuple[Path, Checkpoint] | None
) -> Iterator[RunFolder | None]:
    """Where the run writes, its own until it ends: a new folder, or with --resume auto the one that it goes on in.

    Raises:
        InputError: another run is at work in the folder, or it cannot be written to.
    """
    if args.id == "NULL":
        yield None
        return
    if found is not None and args.resume:
        run_id = found[0].parent.name
    else:
        run_id = new_run_folder(args.id, args.save_dir / SAVES) if process.leads else ""
    folder = RunFolder(args.save_dir / SAVES / from_leader(process, run_id))
    with held(folder.path, "the run folder") if process.leads else nullcontext():
        yield folder


def build_reports(
    args: argparse.Namespace, process: Process, folder: RunFolder | None, start: int
) -> tuple[TrainingLogger, BadSamples]:
    """Where losses and bad samples are reported from iteration `start` on."""
    logger = TrainingLogger(
        None if folder is None else args.save_dir / "log" / folder.id,
        process,
        start=start,
        total=args.iterations,
        interval=args.log_interval,
        batch=args.total_batch,
    )
    limits = {"max_unreadable": args.max_unreadable, "max_not_finite": args.max_not_finite}
    return logger, BadSamples(folder, process.rank, **limits)


def announce(args: argparse.Namespace, process: Process, folder: RunFolder | None, description: str) -> None:
    """Say what is about to be trained, and record it with the run."""
    if process.leads:
        print(description, flush=True)
        if folder is not None:
            folder.record(vars(args))
