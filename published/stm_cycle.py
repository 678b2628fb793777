"""The inference of the published STM-Cycle (NeurIPS 2020) with its quirks, for its numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from model.layers.decoder import soft_aggregate
from model.memory.options import MemoryOptions
from model.memory.read import MemoryEntry
from model.memory_network import MemoryNetwork
from published.qdmn import PublishedCore
from util.tensors import unpad

STM_MEMORY = MemoryOptions(policy="every")


class PublishedSTMCycleCore(PublishedCore):
    """Every object takes part from the first frame on, with an empty mask until its own is given.

    A mask that is given later replaces those of all objects in memory and becomes the only reference of the correction;
    the result of its frame stays as predicted. Its frame is kept only if it is due (`mem_every`).

    Args:
        network: see `InferenceCore`.
        memory: see `InferenceCore`; its policy is `every`, as published, unless another is asked for.
        objects: ids of all objects of the video.
        options: see `InferenceCore`.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        memory: MemoryOptions = STM_MEMORY,
        *,
        objects: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__(network, replace(memory, policy="every") if memory.policy == "auto" else memory, **options)
        self._all = tuple(objects)

    def predict(self, image: Tensor, given: Sequence[int] = ()) -> Tensor:
        """See `InferenceCore`; also segments where all masks are given."""
        return super().predict(image)

    @torch.inference_mode()
    def commit(self, masks: Tensor, mask: Tensor | None = None, ids: Sequence[int] = ()) -> Tensor:
        """See `InferenceCore`; `masks` are the prediction, which on later frames is also the result."""
        if mask is None:
            return super().commit(masks)
        given = mask.new_zeros(len(self._all), *mask.shape[-2:])
        for k, plane in zip(ids, mask, strict=True):
            given[self._all.index(k)] = plane
        padding, begun = self.padding, bool(self.objects)
        result = super().commit(masks, given, self._all)
        return unpad(soft_aggregate(masks).softmax(1)[0], padding) if begun else result

    def _remember(self, entry: MemoryEntry | None, annotated: Sequence[int]) -> None:
        super()._remember(entry, annotated if not self.objects else ())

    def _check_objects(self, rows: int, ids: Sequence[int]) -> None:
        if rows != len(ids) or not set(ids) <= set(self._all):
            raise ValueError(f"mask has {rows} rows of the objects {ids}; the video has {self._all}")
