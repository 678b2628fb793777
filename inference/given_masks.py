"""Masks that are given for a frame, beside those that are predicted."""

from collections.abc import Sequence

import torch
from torch import Tensor


def compose(masks: Tensor, given: Tensor, rows: Sequence[int | None]) -> Tensor:
    """Put given masks into predicted ones; elsewhere a given mask pushes the others back.

    Args:
        masks: (B,K,H,W) in [0, 1].
        given: (B,J,H,W) in [0, 1].
        rows: the row of each given mask; None for a new one, which is put behind the others.

    Returns:
        (B,K+new,H,W).
    """
    composed = masks * (1 - given.amax(1, keepdim=True))
    for j, row in enumerate(rows):
        if row is not None:
            composed[:, row] = given[:, j]
    new = [j for j, row in enumerate(rows) if row is None]
    return torch.cat([composed, given[:, new]], 1) if new else composed


def check_mask(mask: Tensor, image: Tensor) -> None:
    """Raise ValueError for a mask that is not (K,H,W) with K > 0, of the size of the image, with values in [0, 1]."""
    if mask.ndim != 3 or mask.shape[0] == 0:
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected (objects, height, width)")
    if mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(f"mask {tuple(mask.shape[-2:])} and frame {tuple(image.shape[-2:])} differ in size")
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError("mask values must lie in [0, 1]")
