"""One process or several: who am I, and which device is mine."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist

from util.device import choose_device


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
    def distributed(self) -> bool:
        """Whether there are other processes."""
        return self.world > 1


def start(device: str, local_rank: int = 0) -> Process:
    """Join the other processes, if a launcher (torchrun, torch.distributed.launch) has started several.

    Args:
        device: see `choose_device`; with several GPUs each process of a machine takes its own.
        local_rank: number of this process on its machine, unless LOCAL_RANK says otherwise.

    Raises:
        InputError: there is no such device.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    chosen = choose_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', local_rank)}")
        torch.cuda.set_device(chosen)
    if world > 1:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Process(rank, world, chosen)


def stop(process: Process) -> None:
    """Leave the group."""
    if process.distributed:
        dist.destroy_process_group()
