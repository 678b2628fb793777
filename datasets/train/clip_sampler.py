"""Which samples make the batches of a run, as a formula of the iteration: a run can be taken up anywhere."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from datasets.train.clips import Sample


class SampleRequest(NamedTuple):
    """Position in the data, seed of all random draws, and the epoch out of the epochs of the run."""

    index: int  # type: ignore[assignment]  # a tuple has a method of this name, which nobody needs here
    seed: int
    epoch: int
    epochs: int


class RequestedSamples(Dataset, ABC):
    """Samples asked for by `SampleRequest`; the same request gives the same sample, wherever it is made."""

    @abstractmethod
    def __len__(self) -> int:
        """Samples of an epoch."""

    @abstractmethod
    def __getitem__(self, request: SampleRequest) -> Sample:
        """The sample of a request.

        Raises:
            InputError: it cannot be read.
        """


def derive_seed(*parts: int) -> int:
    """A seed that depends on all parts and is unlike that of any other parts."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest(), "big")


class ClipSampler(Sampler[list[SampleRequest]]):
    """Batches of one process, from iteration `start` to the end of the run.

    An epoch goes through the data in a random order and drops the incomplete last batch. The batch of an iteration is
    the same whatever the number of processes that share it and of the parts that each takes it in.

    Args:
        length: samples of an epoch.
        total_batch: samples of an iteration, over all processes.
        iterations: of the whole run.
        start: iterations that are done already.
        parts: number of batches that each process makes of its share (gradient accumulation).
        rank, world: this process among all.
        seed: of the run.

    Raises:
        ValueError: the batch cannot be shared evenly, or the data are too few for one.
    """

    def __init__(
        self,
        length: int,
        *,
        total_batch: int,
        iterations: int,
        start: int = 0,
        parts: int = 1,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
    ) -> None:
        if total_batch % (world * parts):
            raise ValueError(f"a batch of {total_batch} cannot be shared by {world} processes in {parts} parts each")
        if length < total_batch:
            raise ValueError(f"the data hold {length} samples, too few for a batch of {total_batch}")
        self.length, self.total_batch, self.parts = length, total_batch, parts
        self.iterations, self.start = iterations, start
        self.rank, self.world, self.seed = rank, world, seed
        self.steps_per_epoch = length // total_batch
        self.epochs = -(-iterations // self.steps_per_epoch)

    def __len__(self) -> int:
        """Batches that are left for this process."""
        return max(0, self.iterations - self.start) * self.parts

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        """Requests, batch by batch."""
        share = self.total_batch // self.world // self.parts
        order_epoch, order = -1, []
        for iteration in range(self.start, self.iterations):
            epoch, step = divmod(iteration, self.steps_per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
                order_epoch, order = epoch, torch.randperm(self.length, generator=generator).tolist()
            first = step * self.total_batch
            requests = [
                SampleRequest(order[first + i], derive_seed(self.seed, iteration, i), epoch, self.epochs)
                for i in range(self.total_batch)
            ]
            for part in range(self.parts):
                begin = (part * self.world + self.rank) * share
                yield requests[begin : begin + share]
