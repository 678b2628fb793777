"""Square crops around a box: the template and the search region of a box tracker (DropTrack in DropMAE, CVPR 2023).

What published weights depend on is kept, as it began with PyTracking: the last row and column of a frame count as
outside, positions are rounded half to even, and a box is placed around (size - 1) / 2 without regard to that rounding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.boxes.boxes import Box, Size


@dataclass(frozen=True)
class Crop:
    """Where a crop lies, and how it is resized.

    Attributes:
        left, top: first column and row, in pixels of the frame; may lie outside.
        side: of the square, in pixels of the frame.
        size: of the square after resizing.
    """

    left: int
    top: int
    side: int
    size: int

    @property
    def resize_factor(self) -> float:
        """Pixels of the crop for one of the frame."""
        return self.size / self.side

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The crop of a frame (H, W, 3), uint8: (size, size, 3), black outside of the frame."""
        pixels = np.zeros((self.side, self.side, *frame.shape[2:]), frame.dtype)
        rows, columns = self._inside(frame.shape[:2])
        if rows and columns:
            inside = frame[rows.start : rows.stop, columns.start : columns.stop]
            y, x = rows.start - self.top, columns.start - self.left
            pixels[y : y + len(rows), x : x + len(columns)] = inside
        return cv2.resize(pixels, (self.size, self.size))

    def outside(self, frame_size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Which rows and columns of the crop, (size,) bool each, show anything that is outside of a frame (H, W)."""
        rows, columns = self._inside(frame_size)
        return self._resized_outside(rows, self.top), self._resized_outside(columns, self.left)

    def _inside(self, frame_size: Size) -> tuple[range, range]:
        """Rows and columns of the frame that the crop shows."""
        spans = zip((self.top, self.left), frame_size, strict=True)
        rows, columns = (range(max(0, start), min(start + self.side, length - 1)) for start, length in spans)
        return rows, columns

    def _resized_outside(self, inside: range, start: int) -> np.ndarray:
        line = np.ones((self.side, 1))
        if inside:
            line[inside.start - start : inside.stop - start] = 0
        return cv2.resize(line, (1, self.size)).ravel() != 0


def crop_around(box: Sequence[float], factor: float, size: int) -> Crop | None:
    """The crop around a box, its side `factor` times the square root of the box's area; None where that is nothing.

    Args:
        box: x, y, width, height in pixels of the frame.
        factor: 2 for templates and 5 for search regions.
        size: side of the crop in pixels.
    """
    x, y, width, height = map(float, box)
    area = width * height
    if not 0 < area < math.inf:
        return None
    side = math.ceil(math.sqrt(area) * factor)
    return Crop(round(x + 0.5 * width - 0.5 * side), round(y + 0.5 * height - 0.5 * side), side, size)


def box_in_crop(box: Sequence[float], around: Sequence[float], resize_factor: float, size: int) -> Box:
    """A box of the frame as x, y, width, height in shares of a crop's side.

    Args:
        box: in pixels of the frame.
        around: the box that the crop was made around.
        resize_factor, size: of the crop.
    """
    middle = (size - 1) / 2
    x, y = (
        middle + (box[axis] + 0.5 * box[axis + 2] - around[axis] - 0.5 * around[axis + 2]) * resize_factor
        for axis in (0, 1)
    )
    width, height = box[2] * resize_factor, box[3] * resize_factor
    return (x - 0.5 * width) / size, (y - 0.5 * height) / size, width / size, height / size
