"""Gradient correction: a mask is changed until the annotated frame can be reconstructed from it (NeurIPS 2020)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.layers.decoder import soft_aggregate
from model.losses import HARD_SHARE, bootstrapped_cross_entropy, soft_iou_loss
from model.memory.read import Memory, MemoryReader
from model.memory_network import MemoryNetwork
from util.tensors import take_rows


class Reference(NamedTuple):
    """An annotated frame: image (1,3,H,W), masks (1,J,H,W) in [0, 1], and their objects."""

    image: Tensor
    masks: Tensor
    objects: tuple[int, ...]


class MaskCorrection:
    """Gradient descent on masks, so that a memory of them alone gives the annotated masks of the reference frames.

    The reference frame of an object is the latest on which its mask was given. Weights stay as they are. Values may
    leave [0, 1] a little.

    Args:
        network: its path from masks to memory must be differentiable.
        reader: how the memory is read.
        rate: length of a step. STM-Cycle uses 150 in its code, 180 in its configurations.
        steps: number of steps.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, network: MemoryNetwork, reader: MemoryReader, *, rate: float = 150.0, steps: int = 10) -> None:
        if not 0 < rate < float("inf") or steps < 1:
            raise ValueError(f"correction rate ({rate}) must be positive and its steps ({steps}) at least 1")
        self.network = network
        self.reader = reader
        self.rate = rate
        self.steps = steps
        self._references: list[Reference] = []

    def refer(self, image: Tensor, masks: Tensor, objects: Sequence[int]) -> None:
        """Make a frame (1,3,H,W) the reference of the objects whose masks (1,J,H,W) are given on it."""
        kept = []
        for reference in self._references:
            stay = [j for j, k in enumerate(reference.objects) if k not in objects]
            if stay:
                left = tuple(reference.objects[j] for j in stay)
                kept.append(Reference(reference.image, take_rows(reference.masks, stay, 1), left))
        self._references = [*kept, Reference(image, masks, tuple(objects))]

    @torch.inference_mode(False)
    def __call__(self, image: Tensor, masks: Tensor, objects: Sequence[int]) -> Tensor:
        """Corrected masks (1,K,H,W).

        Args:
            image: the frame of the masks, (1,3,H,W), normalised.
            masks: (1,K,H,W) in [0, 1].
            objects: their ids; what is known of others is left out.
        """
        image, masks = image.clone(), masks.clone()
        with torch.autocast(image.device.type, enabled=False):
            prepared = [part for reference in self._references if (part := self._prepare(reference, objects))]
            for _ in range(self.steps):
                with torch.enable_grad():
                    masks = masks.detach().requires_grad_()
                    memory = self.network.encode_memory(image, masks)
                    loss = torch.stack([self._loss(part, memory.key, memory.value) for part in prepared]).sum()
                    (gradient,) = torch.autograd.grad(loss, masks)
                masks = masks.detach() - self.rate * gradient
        return masks

    @torch.no_grad()
    def _prepare(self, reference: Reference, objects: Sequence[int]) -> tuple[NamedTuple, Tensor, list[int]] | None:
        """Query features and labels (1,H,W) of a reference frame, and the rows of its objects; None without any."""
        shared = [j for j, k in enumerate(reference.objects) if k in objects]
        if not shared:
            return None
        image, masks = reference.image.clone(), take_rows(reference.masks, shared, 1)
        query = self.network.encode_query(image, masks.amax(1, keepdim=True))
        background = 1 - masks.amax(1, keepdim=True)
        rows = [list(objects).index(reference.objects[j]) for j in shared]
        return query, torch.cat([background, masks], 1).argmax(1), rows

    def _loss(self, prepared: tuple[NamedTuple, Tensor, list[int]], key: Tensor, value: Tensor) -> Tensor:
        query, labels, rows = prepared
        memory = Memory(take_rows(key, rows, 1), take_rows(value, rows, 1))
        logits = soft_aggregate(self.network.segment(query, memory, self.reader).float().sigmoid())
        valid = torch.ones(1, logits.shape[1], device=logits.device)
        losses = bootstrapped_cross_entropy(logits, labels, HARD_SHARE, valid) + soft_iou_loss(logits, labels, valid)
        return losses.mean()
