"""Streaming segmentation when every object is given on the first annotated frame (DAVIS)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.aggregate import soft_aggregate
from model.memory_bank import BankEvent, MemoryBank
from model.memory_read import MemoryReader
from util.tensors import pad_to_multiple, unpad


@dataclass(frozen=True)
class FrameReport:
    """What happened on a frame.

    Attributes:
        frame: its index in the stream, from 0.
        quality: predicted mask IoU of each object; empty when the network has no scorer.
        relative_quality: mean quality relative to the annotated frame's, or None.
        stored: `permanent`, `dynamic` or `temporary`.
        evicted: index of the frame that left the memory for this one, or None.
        memory_frames: indices of the frames in memory afterwards, in the order of storing.
    """

    frame: int
    quality: tuple[float, ...]
    relative_quality: float | None
    stored: str
    evicted: int | None
    memory_frames: tuple[int, ...]


class InferenceCore:
    """Segments a video frame by frame; keeps the memory bank and the previous mask, nothing else of the past.

    Args:
        network: a network with `encode_query`, `encode_memory` and `segment`, in evaluation mode.
        top_k, km_sigma: see `MemoryReader`.
        mem_every, capacity, quality_threshold, policy, compat: see `MemoryBank`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        top_k: int | None = 50,
        km_sigma: float | None = None,
        mem_every: int = 5,
        capacity: int = 20,
        quality_threshold: float = 0.8,
        policy: str = "quality",
        compat: bool = False,
    ) -> None:
        self.network = network
        self.reader = MemoryReader(top_k=top_k, km_sigma=km_sigma)
        self.bank = MemoryBank(
            capacity=capacity,
            mem_every=mem_every,
            quality_threshold=quality_threshold,
            policy=policy,
            compat=compat,
        )
        self.report: FrameReport | None = None
        self._frame = -1
        self._masks: Tensor | None = None
        self._size: torch.Size | None = None

    @torch.inference_mode()
    def step(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            image: (3,H,W), normalised, on the network's device.
            mask: (K,H,W) in [0, 1], the annotation of all objects; needed on the first frame. On a later frame
                it replaces the prediction and becomes permanent memory.

        Returns:
            Probabilities (K+1,H,W), float32; row 0 is the background. They sum to one.

        Raises:
            ValueError: no mask has been given yet, or the frame or the mask does not fit the stream.
        """
        self._check(image, mask)
        self._size = image.shape[-2:]
        self._frame += 1
        image, padding = pad_to_multiple(image.unsqueeze(0))
        query = None
        if mask is None:
            query = self.network.encode_query(image, self._masks.amax(1, keepdim=True))
            masks = self.network.segment(query, self.bank.memory, self.reader).float().sigmoid()
        else:
            masks = pad_to_multiple(mask.unsqueeze(0).to(image))[0]
        probabilities = soft_aggregate(masks).softmax(1)
        self._masks = probabilities[:, 1:]
        entry = self.network.encode_memory(image, self._masks, query)
        event = (self.bank.remember if mask is None else self.bank.annotate)(self._frame, entry)
        self.report = self._describe(entry.quality, event)
        return unpad(probabilities[0], padding)

    def _describe(self, quality: Tensor | None, event: BankEvent) -> FrameReport:
        scores = () if quality is None else tuple(quality[0].tolist())
        return FrameReport(self._frame, scores, event.relative_quality, event.stored, event.evicted, self.bank.frames)

    def _check(self, image: Tensor, mask: Tensor | None) -> None:
        if self._size not in (None, image.shape[-2:]):
            raise ValueError(f"frame is {tuple(image.shape[-2:])}; the stream began with {tuple(self._size)}")
        if mask is None:
            if self._masks is None:
                raise ValueError("the first frame needs a mask")
            return
        if mask.ndim != 3 or mask.shape[0] == 0:
            raise ValueError(f"mask has shape {tuple(mask.shape)}; expected (objects, height, width)")
        if mask.shape[-2:] != image.shape[-2:]:
            raise ValueError(f"mask {tuple(mask.shape[-2:])} and frame {tuple(image.shape[-2:])} differ in size")
        if mask.min() < 0 or mask.max() > 1:
            raise ValueError("mask values must lie in [0, 1]")
        if self._masks is not None and mask.shape[0] != self._masks.shape[1]:
            raise ValueError(f"mask has {mask.shape[0]} objects; the stream began with {self._masks.shape[1]}")
