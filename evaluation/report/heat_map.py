"""Maps of a frame's cells at stride 16: where points lie, and heat drawn over a picture."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from util.tensors import Padding, unpad

STRIDE = 16
OPACITY = 0.75
CROSS_SHARE = 0.06
COLOURS = ((255, 60, 40), (40, 220, 255), (255, 220, 30), (90, 255, 80), (255, 90, 255), (80, 130, 255))

Point = tuple[int, int]


def cells_of_points(points: Sequence[Point], size: Sequence[int], padding: Padding) -> Tensor:
    """One map for each point, 1 in the cell that holds it and else 0.

    Args:
        points: (x, y) in pixels of the frame before padding.
        size: height and width of the frame before padding, in pixels.
        padding: see `pad_to_multiple`; with it the sides are multiples of the stride.

    Returns:
        (P,h,w) float32.
    """
    left, right, top, bottom = padding
    maps = torch.zeros(len(points), (size[0] + top + bottom) // STRIDE, (size[1] + left + right) // STRIDE)
    for one, (x, y) in zip(maps, points, strict=True):
        one[(y + top) // STRIDE, (x + left) // STRIDE] = 1
    return maps


def to_pixels(cells: Tensor, padding: Padding) -> Tensor:
    """Maps (C,h,w) of cells -> (C,H,W) of pixels, bilinear, without the padding."""
    return unpad(F.interpolate(cells[None], scale_factor=STRIDE, mode="bilinear", align_corners=False)[0], padding)


def strongest_point(cells: Tensor, size: Sequence[int], padding: Padding) -> Point:
    """Centre (x, y) of the strongest cell of a map (h,w), in pixels of the frame before padding.

    Args:
        cells: the map.
        size, padding: see `cells_of_points`.
    """
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    x = column * STRIDE + STRIDE // 2 - padding[0]
    y = row * STRIDE + STRIDE // 2 - padding[2]
    return min(max(x, 0), size[1] - 1), min(max(y, 0), size[0] - 1)


def overlay_heat(picture: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """A picture with maps drawn over it, each in its colour and relative to its own maximum.

    Args:
        picture: RGB (H, W, 3), uint8.
        maps: (C, H, W), not negative; a map of zeros leaves no trace.

    Returns:
        RGB (H, W, 3), uint8.
    """
    shown = picture.astype(np.float32)
    for number, heat in enumerate(maps):
        opacity = OPACITY * (heat / max(heat.max(), np.finfo(np.float32).tiny))[..., None]
        shown = (1 - opacity) * shown + opacity * np.float32(colour_of(number))
    return shown.round().astype(np.uint8)


def mark_points(picture: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """A picture (H, W, 3), uint8, with a cross on each point (x, y), in the colour of the point's heat."""
    marked = picture.copy()
    arm = max(7, round(CROSS_SHARE * min(picture.shape[:2])))
    for number, point in enumerate(points):
        for colour, thickness in (((0, 0, 0), 3), (colour_of(number), 1)):
            cv2.drawMarker(marked, point, colour, cv2.MARKER_CROSS, arm, thickness)
    return marked


def colour_of(number: int) -> tuple[int, int, int]:
    """RGB of a point; the colours come round again."""
    return COLOURS[number % len(COLOURS)]
