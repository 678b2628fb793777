"""A clip through a network as in inference, and the cycle back to its first frame (STM-Cycle, NeurIPS 2020)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.layers.decoder import soft_aggregate
from model.memory.read import MemoryEntry, MemoryReader, stack_entries
from model.memory_network import MemoryNetwork


class ClipOutput(NamedTuple):
    """Predictions of a clip.

    Attributes:
        logits, masks: of the frames behind the first, (B,T-1,K+1,H,W) and (B,T-1,K,H,W).
        quality: (B,T-1,K), or None where the network has no scorer.
        cycle: logits (B,T-1,K+1,H,W) of the first frame, read from the memory of each frame behind it alone; None
            without the cycle.
    """

    logits: Tensor
    masks: Tensor
    quality: Tensor | None
    cycle: Tensor | None


class ClipForward(nn.Module):
    """Runs a clip through a network as inference does: every predicted mask enters the memory.

    Gradients flow through predicted masks into later frames; the prior mask of a query is detached.

    Args:
        network: the network.
        cycle: reconstruct the first frame from every later one.
    """

    def __init__(self, network: MemoryNetwork, *, cycle: bool = False) -> None:
        super().__init__()
        self.network = network
        self.cycle = cycle
        self.reader = MemoryReader(top_k=None, similarity=network.similarity)

    def forward(self, frames: Tensor, first_masks: Tensor, selector: Tensor) -> ClipOutput:
        """Segment a clip.

        Args:
            frames: (B,T,3,H,W), normalised.
            first_masks: (B,K,H,W) in [0, 1], the annotation of the first frame.
            selector: (B,K), 1 for a real object, 0 for an absent one.
        """
        masks = [first_masks]
        entries = [self.network.encode_memory(frames[:, 0], first_masks)]
        logits = []
        needs_last = self.cycle or self.network.quality_scorer is not None
        for t in range(1, frames.shape[1]):
            query = self.network.encode_query(frames[:, t], _prior(masks[-1]))
            logits.append(self._logits(query, entries, selector))
            masks.append(logits[-1].softmax(1)[:, 1:])
            if needs_last or t + 1 < frames.shape[1]:
                entries.append(self.network.encode_memory(frames[:, t], masks[-1], query))
        quality = None
        if self.network.quality_scorer is not None:
            quality = torch.stack([entry.quality for entry in entries[1:]], 1)
        cycle = None
        if self.cycle:
            back = [
                self._logits(self.network.encode_query(frames[:, 0], _prior(mask)), [entry], selector)
                for mask, entry in zip(masks[1:], entries[1:], strict=True)
            ]
            cycle = torch.stack(back, 1)
        return ClipOutput(torch.stack(logits, 1), torch.stack(masks[1:], 1), quality, cycle)

    def _logits(self, query: NamedTuple, entries: list[MemoryEntry], selector: Tensor) -> Tensor:
        """Aggregated logits (B,K+1,H,W) of a query."""
        logits = self.network.segment(query, stack_entries(entries), self.reader)
        return soft_aggregate(logits.float().sigmoid() * selector[..., None, None])


def _prior(masks: Tensor) -> Tensor:
    return masks.detach().amax(1, keepdim=True)
