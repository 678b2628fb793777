"""Boxes (x, y, width, height) in pixels: around masks, as masks, and in the text files of tracking datasets.

A box covers the columns x to x + width - 1, so that boxes of masks have whole numbers.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from util.errors import InputError
from util.text_files import read_numbers

Box = tuple[float, float, float, float]


def box_of_mask(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The smallest box around a mask (H, W), bool; None where it is empty."""
    if not mask.any():
        return None
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return x, y, width, height


def mask_of_box(box: Box, size: tuple[int, int], least: tuple[int, int] = (1, 1)) -> np.ndarray | None:
    """The box as a filled rectangle, cut at the borders of the image, its edges rounded to whole pixels.

    Args:
        box: in pixels; may have fractions and reach beyond the image.
        size: height and width of the image.
        least: rows and columns of the rectangle, even if the box is smaller.

    Returns:
        The mask (H, W), bool; None where the box lies outside of the image.
    """
    columns, rows = _span(box[0], box[2], size[1], least[1]), _span(box[1], box[3], size[0], least[0])
    if columns is None or rows is None:
        return None
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    return mask


def _span(start: float, length: float, limit: int, least: int) -> slice | None:
    """The pixels of an interval within 0..limit."""
    first, end = max(start, 0.0), min(start + length, float(limit))
    if not first < end:
        return None
    low, high = math.floor(first + 0.5), math.floor(end + 0.5)
    if high - low < least:
        low = max(0, min(low, limit - least))
        high = min(limit, low + least)
    return slice(low, high)


def is_whole_box(box: Sequence[float]) -> bool:
    """Whether a box has finite numbers and a size above 0."""
    return bool(np.isfinite(box).all()) and box[2] > 0 and box[3] > 0


def read_boxes(path: Path) -> np.ndarray:
    """The boxes of a text file, (T, 4) float64, one row x, y, width, height for each frame; all NaN for no box.

    Raises:
        InputError: see `read_numbers`; or rows have not four numbers, or one holds an infinite number or some NaN.
    """
    boxes = read_numbers(path)
    if boxes.shape[1] != 4:
        hint = "; is it written with decimal commas?" if boxes.shape[1] == 8 else ""
        raise InputError(f"{path} has {boxes.shape[1]} numbers in a row; a box has four: x, y, width, height{hint}")
    bad = ~np.isfinite(boxes).all(1) & ~np.isnan(boxes).all(1)
    if bad.any():
        raise InputError(f"row {int(bad.argmax()) + 1} of {path} is no box; fetch or write it again")
    return boxes


def format_rows(rows: np.ndarray, form: str, separator: str = ",") -> str:
    """A table of numbers (T, C) as lines of text, each number as `form` such as "%.3f" has it."""
    return "".join(separator.join(form % number for number in row) + "\n" for row in rows.tolist())
