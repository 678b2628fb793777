"""Streaming segmentation when objects arrive at any time, each with its own memory (YouTube-VOS)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inference_core import InferenceCore
from model.layers.decoder import soft_aggregate
from model.memory.objects import ObjectMemory, PublishedObjectMemory
from model.memory_network import MemoryNetwork

PRIORS = ("softmax", "max")


class InferenceCoreYV(InferenceCore):
    """Segments a video frame by frame; a mask may come with any frame, for some objects, old or new.

    A new object gets a memory of its own from that frame on. A mask of a known object corrects it and becomes
    permanent memory. Where both a given and a predicted mask claim a pixel, the given one has it.

    Args:
        network: a network of the STM family in evaluation mode.
        prior: where an object was on the previous frame, for the prior mask enhancement: `max` is the largest object
            probability, as in training; `softmax` is the same behind one more softmax over the background and
            all objects, as the published weights were measured with.
        video_objects: only with `compat`: number of objects of the whole video, which the published prior counts
            from the first frame on.
        capacity, quality_threshold: the published values for YouTube-VOS by default.
        compat: do as the published code, see `PublishedObjectMemory`; predictions beside a given mask are
            aggregated twice.
        options: see `InferenceCore`.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        *,
        prior: str = "softmax",
        video_objects: int = 0,
        capacity: int = 10,
        quality_threshold: float = 0.75,
        compat: bool = False,
        **options: Any,
    ) -> None:
        if prior not in PRIORS:
            raise ValueError(f"prior is {prior!r}; choose one of {', '.join(PRIORS)}")
        self.prior = prior
        self.video_objects = video_objects
        self.compat = compat
        super().__init__(network, capacity=capacity, quality_threshold=quality_threshold, compat=compat, **options)

    @staticmethod
    def _new_memory(*, compat: bool, **options: Any) -> ObjectMemory:
        return PublishedObjectMemory(**options) if compat else ObjectMemory(**options)

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
        background = self._previous[:, [0, *gone]].sum(1, keepdim=True)
        self._previous = torch.cat([background, self._previous[:, kept]], 1)
        self.memory.remove(objects)

    def _prior(self) -> Tensor:
        if self.prior == "max":
            return super()._prior()
        weights = self._previous.exp()
        absent = max(0, self.video_objects - len(self.objects)) if self.compat else 0
        return weights[:, 1:].amax(1, keepdim=True) / (weights.sum(1, keepdim=True) + absent)

    def _compose(self, masks: Tensor, given: Tensor, ids: Sequence[int]) -> Tensor:
        if self.compat and masks.shape[1]:
            masks = soft_aggregate(masks).softmax(1)[:, 1:]
        return super()._compose(masks, given, ids)

    def _check_begun(self) -> None:
        """Frames before the first mask are allowed."""

    def _check_objects(self, rows: int, ids: Sequence[int]) -> None:
        if rows != len(ids):
            raise ValueError(f"mask has {rows} rows but {len(ids)} objects")
        if len(set(ids)) < len(ids) or min(ids) < 1:
            raise ValueError(f"objects {ids} must be different whole numbers above 0")
