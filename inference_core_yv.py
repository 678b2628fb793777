"""Streaming segmentation when objects arrive at any time, each with its own memory (YouTube-VOS)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inference_core import InferenceCore
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory_network import MemoryNetwork
from util.tensors import take_rows

PRIORS = ("softmax", "max")


class InferenceCoreYV(InferenceCore):
    """Segments a video frame by frame; a mask may come with any frame, for some objects, old or new.

    A new object gets a memory of its own from that frame on. A mask of a known object corrects it and becomes
    permanent memory. Where both a given and a predicted mask claim a pixel, the given one has it.

    Args:
        network: a network of the STM family in evaluation mode.
        memory: what is kept of the past, by default as published for YouTube-VOS.
        prior: where an object was on the previous frame, for the prior mask enhancement: `max` is the largest object
            probability, as in training; `softmax` is the same behind one more softmax over the background and
            all objects, as the published weights were measured with.
        options: see `InferenceCore`.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        memory: MemoryOptions = YOUTUBE_MEMORY,
        *,
        prior: str = "softmax",
        **options: Any,
    ) -> None:
        if prior not in PRIORS:
            raise ValueError(f"prior is {prior!r}; choose one of {', '.join(PRIORS)}")
        super().__init__(network, memory, **options)
        self.prior = prior

    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            image: (3,H,W), normalised, on the network's device.
            mask: (J,H,W) in [0, 1], masks of some objects, if any are given on this frame.
            objects: ids of the rows of the mask; by default those of the stream, or else 1..J.

        Returns:
            Probabilities (K+1,H,W), float32; row 0 is the background, the others are those of `objects` in order of
            arrival. Before the first mask all is background.

        Raises:
            ValueError: the frame or the mask does not fit the stream, or an id is given twice.
        """
        return super().step(image, mask, objects)

    def remove(self, objects: Sequence[int]) -> None:
        """Forget objects; their memory is freed and their probability goes to the background.

        Raises:
            ValueError: an object is not known.
        """
        unknown = [k for k in objects if k not in self.objects]
        if not objects:
            return
        if unknown:
            raise ValueError(f"object {unknown[0]} is not in the stream, which has {self.objects}")
        kept = [row for row, k in enumerate(self.objects, start=1) if k not in objects]
        gone = [row for row, k in enumerate(self.objects, start=1) if k in objects]
        last = self._last()
        self._previous = torch.cat([take_rows(last, [0, *gone], 1).sum(1, keepdim=True), take_rows(last, kept, 1)], 1)
        self.memory.remove(objects)

    def _prior(self) -> Tensor:
        if self.prior == "max":
            return super()._prior()
        weights = self._last().exp()
        return weights[:, 1:].amax(1, keepdim=True) / (weights.sum(1, keepdim=True) + self._absent())

    def _absent(self) -> int:
        """Objects that the softmax counts although they have not come yet."""
        return 0

    def _check_begun(self) -> None:
        """Frames before the first mask are allowed."""

    def _check_objects(self, rows: int, ids: Sequence[int]) -> None:
        if rows != len(ids):
            raise ValueError(f"mask has {rows} rows but {len(ids)} objects")
        if len(set(ids)) < len(ids) or min(ids) < 1:
            raise ValueError(f"objects {ids} must be different whole numbers above 0")
