"""One process or several: who am I, and which device is mine."""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from util.device import choose_device
from util.errors import InputError
from util.numbers import whole

PATIENCE = timedelta(minutes=30)
LONG_PATIENCE = timedelta(days=30)
SETTLE_SECONDS = 0.2
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Process:
    """This process among all: its number `rank` of `world`, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def meeting_place(self) -> torch.device:
        """Where tensors must lie to be exchanged: NCCL takes those of the GPU, gloo those of the CPU."""
        nccl = self.distributed and dist.get_backend() == "nccl"
        return self.device if nccl else torch.device("cpu")

    @property
    def distributed(self) -> bool:
        """Whether there are other processes."""
        return self.world > 1


def start(device: str, local_rank: int = 0, *, backend: str | None = None, patience: timedelta = PATIENCE) -> Process:
    """Join the other processes, if a launcher (torchrun, torch.distributed.launch) has started several.

    Args:
        device: see `choose_device`; with several GPUs each process of a machine takes its own. Behind gloo, more
            processes than GPUs share them.
        local_rank: number of this process on its machine, unless LOCAL_RANK says otherwise.
        backend: by default nccl for GPUs and gloo for others.
        patience: how long one process waits for another.

    Raises:
        InputError: there is no such device, several processes would share one, the environment that launchers set makes
            no sense, or the processes do not find each other.
    """
    world, rank = _from_launcher("WORLD_SIZE", 1, least=1), _from_launcher("RANK", 0)
    if rank >= world:
        raise InputError(f"RANK {rank} is none of WORLD_SIZE {world} processes; start them by torchrun, or unset both")
    _from_launcher("MASTER_PORT", 0, most=2**16 - 1)
    chosen = choose_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        place = _from_launcher("LOCAL_RANK", local_rank)
        chosen = choose_device(f"cuda:{place % torch.cuda.device_count() if backend == 'gloo' else place}")
        torch.cuda.set_device(chosen)
    elif chosen.type == "cuda" and (neighbours := _from_launcher("LOCAL_WORLD_SIZE", world)) > 1:
        raise InputError(
            f"--device {device} would put {neighbours} processes on one GPU; pass --device cuda, and each takes its own"
        )
    if world > 1:
        backend = backend or ("nccl" if chosen.type == "cuda" else "gloo")
        try:
            dist.init_process_group(backend, timeout=patience, device_id=chosen if backend == "nccl" else None)
        except (ValueError, dist.DistError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"the {world} processes do not find each other ({reason}); start them by torchrun"
            ) from error
    return Process(rank, world, chosen)


def _from_launcher(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """The number of an environment variable."""
    try:
        return whole(least, most)(os.environ.get(name, str(default)))
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{name}: {error}; start several processes by torchrun, or unset it") from error


@contextmanager
def all_wait(process: Process) -> Iterator[None]:
    """All enter; at the end of the block those who have less to do wait for the others, however long it takes."""
    if not process.distributed:
        yield
        return
    group: Any = dist.new_group(backend="gloo", timeout=LONG_PATIENCE)
    yield
    dist.barrier(group)
    dist.destroy_process_group(group)


def mean_over(process: Process, values: Tensor) -> Tensor:
    """Mean of a tensor over the processes; all must ask at the same time."""
    if process.distributed:
        values = values.to(process.meeting_place, copy=True)
        dist.all_reduce(values)
    return values / process.world


def from_leader(process: Process, value: str) -> str:
    """The leading process's value; all must ask at the same time."""
    box = [value]
    if process.distributed:
        dist.broadcast_object_list(box, device=process.meeting_place)
    return box[0]


def gather(process: Process, thing: Thing) -> list[Thing]:
    """Every process's thing, by rank; all must ask at the same time, behind gloo."""
    things = [thing] * process.world
    if process.distributed:
        dist.all_gather_object(things, thing)
    return things


def stop(process: Process) -> None:
    """Leave the group.

    A thread of gloo may still be freeing its last tensors, for which it needs the interpreter; up to torch 2.6 it would
    wait for good for a group that is taken down meanwhile.
    """
    if process.distributed:
        time.sleep(SETTLE_SECONDS)
        dist.destroy_process_group()
