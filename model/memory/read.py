"""Reading the memory: where in the past does each query position find itself?."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.memory.fused_read import available, fused_read
from util.device import trial

SIMILARITIES = ("dot", "l2")
TOLERANCES = {torch.float32: 1e-3}  # of the largest value, between two ways of reading; of other types 0.03
TIED = 0.01  # share of the query positions at which the last kept and the first left affinity may all but tie


class Memory(NamedTuple):
    """Keys (B,K,N,Ck) and values (B,K,N,Cv) of N = T*h*w memory positions, position-major.

    Where decoding windows are chosen by it, also the coverage (B,K,N,1): how much of the cell the object's mask covers.
    """

    key: Tensor
    value: Tensor
    coverage: Tensor | None = None


class MemoryEntry(NamedTuple):
    """One memory frame: key (B,K,h*w,Ck), value (B,K,h*w,Cv), quality (B,K) where the network has a scorer.

    Its coverage (B,K,h*w,1), where it is wanted, is the share of each cell that the object's mask covers, in [0, 1].
    """

    key: Tensor
    value: Tensor
    quality: Tensor | None
    coverage: Tensor | None = None


def stack_entries(entries: Sequence[MemoryEntry]) -> Memory:
    """Several memory frames as one memory."""
    return Memory(torch.cat([e.key for e in entries], 2), torch.cat([e.value for e in entries], 2))


def has_shared_keys(key: Tensor) -> bool:
    """Whether keys (B,K,N,C) are one set that has been expanded over several objects."""
    return key.shape[1] > 1 and key.stride(1) == 0


class MemoryReader:
    """Softmax-weighted sum of memory values for every query position.

    The affinity of memory key m and query key q is <m, q> / sqrt(Ck). With the similarity `l2` it is
    (2 <m, q> - |m|^2) / sqrt(Ck), which is -|m - q|^2 / sqrt(Ck) but for what is the same for all m (STCN, NeurIPS
    2021, section 3.3). The query is read in chunks, so that working memory is bounded whatever the memory's length.

    Args:
        top_k: keep the largest affinities of each query position (MiVOS, CVPR 2021); None keeps all.
        km_sigma: standard deviation, in grid cells, of the Gaussian around each memory position's best query
            position (KMN, ECCV 2020); None switches it off. Published: 5.6.
        similarity: of keys, `dot` or `l2`.
        max_elements: most affinities held at once.
        fused: read in Triton kernels where they can run, see `model.memory.fused_read`: on a GPU, without a gradient
            and without km_sigma. They are on trial, see `util.device.Trial`, for each type and number of values.
    """

    def __init__(
        self,
        *,
        top_k: int | None = 50,
        km_sigma: float | None = None,
        similarity: str = "dot",
        max_elements: int = 1 << 24,
        fused: bool = False,
    ) -> None:
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}; it must be at least 1, or None for all")
        if km_sigma is not None and km_sigma <= 0:
            raise ValueError(f"km_sigma is {km_sigma}; it must be positive, or None")
        self.top_k = top_k
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity is {similarity!r}; choose one of {', '.join(SIMILARITIES)}")
        self.km_sigma = km_sigma
        self.similarity = similarity
        self.max_elements = max_elements
        self.fused = fused

    def __call__(self, memory: Memory, query_key: Tensor) -> Tensor:
        """Memory of N positions, query key (B,Ck,h,w) -> readout (B,K,Cv,h,w)."""
        plain = partial(self._read_in_chunks, memory, query_key, memory.value)
        if not self._reads_fused(memory, query_key):
            return plain()
        own = partial(fused_read, memory.key, memory.value, query_key, top_k=self.top_k, similarity=self.similarity)
        kept = self.top_k if self.top_k is not None and self.top_k < memory.key.shape[2] else "all"
        kind = f"{query_key.dtype}, top {kept}, {self.similarity}, {query_key.shape[1]} channels"
        return trial(f"the fused memory read ({kind})").run(query_key.device, own, plain, reads_apart)

    def with_coverage(self, memory: Memory, query_key: Tensor) -> tuple[Tensor, Tensor]:
        """As a call, and the coverage that is read with the same weights, (B,K,1,h,w).

        Raises:
            ValueError: the memory has no coverage.
        """
        if memory.coverage is None:
            raise ValueError("the memory holds no coverage")
        readout = self._read_in_chunks(memory, query_key, memory.value, memory.coverage)
        return readout[:, :, :-1], readout[:, :, -1:]

    def _reads_fused(self, memory: Memory, query_key: Tensor) -> bool:
        """Whether the kernels are asked."""
        if not self.fused or self.km_sigma is not None or not available(query_key.device):
            return False
        return not (torch.is_grad_enabled() and any(x.requires_grad for x in (memory.key, memory.value, query_key)))

    def _read_in_chunks(self, memory: Memory, query_key: Tensor, *values: Tensor) -> Tensor:
        """The readout of each of the values, side by side: (B,K,C1+C2+...,h,w)."""
        key = memory.key[:, :1] if has_shared_keys(memory.key) else memory.key
        grid = query_key.shape[-2:]
        scale = query_key.shape[1] ** -0.5
        factor, penalty = 1.0, None
        if self.similarity == "l2":
            factor, penalty = 2.0, scale * key.float().square().sum(-1).unsqueeze(2)
        query = (query_key * (factor * scale)).flatten(2).transpose(1, 2).unsqueeze(1)
        chunks = self._chunks(query, key)
        centres = None if self.km_sigma is None else self._best_query(key, chunks)
        spread = 1.0 if self.km_sigma is None else 2 * self.km_sigma**2
        readouts, start = [], 0
        for chunk in chunks:
            affinity = torch.matmul(chunk, key.transpose(2, 3))
            if penalty is not None:
                affinity = affinity - penalty
            if centres is not None:
                affinity = affinity - _squared_distance(centres, start, chunk.shape[2], grid[1]).div_(spread)
            readouts.append(self._weighted_values(affinity, values))
            start += chunk.shape[2]
        return torch.cat(readouts, 2).transpose(2, 3).unflatten(3, grid)

    def _chunks(self, query: Tensor, key: Tensor) -> Sequence[Tensor]:
        """Query positions (B,1,h*w,Ck) in parts whose affinities with all keys (B,K,N,Ck) may be held at once."""
        return query.split(max(1, self.max_elements // key[..., 0].numel()), dim=2)

    def _weighted_values(self, affinity: Tensor, values: Sequence[Tensor]) -> Tensor:
        """Affinity (B,K,c,N), or (B,1,c,N) if all objects share it, values (B,K,N,C) -> (B,K,c,C1+C2+...)."""
        batch, objects = values[0].shape[:2]
        if self.top_k is None or self.top_k >= affinity.shape[-1]:
            weight = F.softmax(affinity, -1)
            products = [torch.matmul(weight.to(value.dtype), value) for value in values]
            return products[0] if len(products) == 1 else torch.cat(products, 3)
        kept, index = torch.topk(affinity, self.top_k, dim=-1)
        weight = F.softmax(kept, -1)
        index, weight = (x.expand(-1, objects, -1, -1) for x in (index, weight))
        sums = []
        for value in values:
            typed = weight.to(value.dtype)
            rows = [
                F.embedding_bag(index[b, k], value[b, k], per_sample_weights=typed[b, k], mode="sum")
                for b in range(batch)
                for k in range(objects)
            ]
            sums.append(torch.stack(rows).unflatten(0, (batch, objects)))
        return sums[0] if len(sums) == 1 else torch.cat(sums, 3)

    @staticmethod
    def _best_query(key: Tensor, chunks: Sequence[Tensor]) -> Tensor:
        """The query position (flat index) that each memory position likes best, (B,K,N)."""
        best, index = torch.matmul(chunks[0], key.transpose(2, 3)).max(2)
        start = chunks[0].shape[2]
        for chunk in chunks[1:]:
            value, at = torch.matmul(chunk, key.transpose(2, 3)).max(2)
            index = torch.where(value > best, at + start, index)
            best = torch.maximum(value, best)
            start += chunk.shape[2]
        return index


def reads_apart(found: Tensor, expected: Tensor) -> str:
    """In what a readout (B,K,Cv,h,w) differs from another by more than rounding and ties; "" if it does not."""
    scale = expected.float().abs().amax()
    wrong = ~((found.float() - expected.float()).abs().amax(2) <= TOLERANCES.get(expected.dtype, 0.03) * scale)
    share = wrong.float().mean().item()
    return f"{share:.1%} of the positions differ" if share > TIED else ""


def _squared_distance(centres: Tensor, start: int, count: int, width: int) -> Tensor:
    """Squared distance of query positions start..start+count to the centres (B,K,N), in grid cells: (B,K,count,N)."""
    position = torch.arange(start, start + count, device=centres.device)[:, None]
    centres = centres.unsqueeze(2)
    rows = (position // width).float() - (centres // width).float()
    columns = (position % width).float() - (centres % width).float()
    return rows.square_().add_(columns.square_())
