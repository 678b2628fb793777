"""Decoding only where objects can be: around their last masks, and where the memory says that they may be."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.memory.read import MemoryEntry

CELL = 16
MARGIN = 4
SEEN = 0.05
MOST = 0.7


class Window(NamedTuple):
    """A part of a frame, in cells of 16x16 pixels; the last row and column are outside."""

    top: int
    left: int
    bottom: int
    right: int

    def crop(self, maps: Tensor, scale: int = 1) -> Tensor:
        """The part of maps (...,h*scale,w*scale)."""
        rows = slice(self.top * scale, self.bottom * scale)
        return maps[..., rows, self.left * scale : self.right * scale]

    def paste(self, part: Tensor, size: tuple[int, int], scale: int, outside: float) -> Tensor:
        """Maps of h x w cells that hold a part made for the window, and a constant outside."""
        whole = part.new_full((*part.shape[:-2], size[0] * scale, size[1] * scale), outside)
        self.crop(whole, scale).copy_(part)
        return whole


def with_evidence(entry: MemoryEntry, masks: Tensor) -> MemoryEntry:
    """A memory entry whose values have one channel more: how much of each cell the object's mask (B,K,H,W) covers."""
    cover = F.avg_pool2d(masks.to(entry.value.dtype), CELL).flatten(2).unsqueeze(3)
    return MemoryEntry(entry.key, torch.cat([entry.value, cover], 3), entry.quality)


def choose_window(evidence: Tensor, previous: Tensor) -> Window | None:
    """Where a frame is worth decoding.

    Args:
        evidence: (B,K,h,w), the share of each cell that the memory takes for the object.
        previous: masks of the previous frame, (B,K,H,W) in [0, 1].

    Returns:
        All cells that an object may touch with a margin of 4 cells; None for the whole frame, where that is more than
        70 % of it or no cell is found.
    """
    height, width = evidence.shape[-2:]
    seen = torch.maximum(evidence, F.max_pool2d(previous.to(evidence.dtype), CELL)) > SEEN
    seen = seen.flatten(0, 1).any(0)
    rows, columns = (seen.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = (ends[[0, -1]].tolist() for ends in (rows, columns))
    window = Window(
        max(0, top - MARGIN), max(0, left - MARGIN), min(height, bottom + 1 + MARGIN), min(width, right + 1 + MARGIN)
    )
    area = (window.bottom - window.top) * (window.right - window.left)
    return None if area > MOST * height * width else window
