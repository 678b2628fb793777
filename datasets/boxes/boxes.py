"""Boxes (x, y, width, height) in pixels: around masks, in text files, and the first masks that are made of them.

A box covers the columns x to x + width - 1, so that boxes of masks have whole numbers.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.frame_files import FrameSource
from datasets.mask_files import match_size, read_ids
from util.errors import InputError
from util.text_files import read_numbers

GRABCUT_STEPS = 5
GRABCUT_SEED = 0
LEAST_COVER = 0.1  # of its rectangle, by what is found in it

Box = tuple[float, float, float, float]
Size = tuple[int, int]
Cut = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Finds the object in a box: RGB (H, W, 3) uint8 and the filled box (H, W) bool -> (H, W) bool."""


def box_of_mask(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The smallest box around a mask (H, W), bool; None where it is empty."""
    if not mask.any():
        return None
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return x, y, width, height


def mask_of_box(box: Box, size: Size, least: Size = (1, 1)) -> np.ndarray | None:
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
        InputError: the file is missing or no table of numbers, rows have not four numbers, or one holds an infinite
            number or some NaN.
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


def fill_box(path: Path, box: Box, size: Size, working: Size) -> np.ndarray:
    """The box as ids (H, W), uint8, large enough to be seen in the size in which the network works.

    Args:
        path: where the box is from, for the message.
        box: in pixels of the frame.
        size, working: height and width of the frame, and of what the network sees of it.

    Raises:
        InputError: the box lies outside of the frame.
    """
    mask = mask_of_box(box, size, (-(-size[0] // working[0]), -(-size[1] // working[1])))
    if mask is None:
        place = f"{box} lies outside of its frame of {size[1]}x{size[0]}"
        raise InputError(f"the first box of {path}, {place}; fetch the file again")
    return mask.astype(np.uint8)


def cut_out(path: Path, box: Box, size: Size, working: Size, source: FrameSource, cut: Cut) -> np.ndarray:
    """What is found in the box in the first frame of the source: ids (H, W), uint8.

    What lies outside the box does not count, and the whole box is taken where less than a tenth of it would be left.

    Args:
        path: where the box is from, for the message.
        box: in pixels of the frame.
        size, working: height and width of the frame, and of what the network sees of it.
        source: its first frame is read.
        cut: finds the object.

    Raises:
        InputError: the box lies outside of the frame, or this cannot be read.
    """
    rectangle = fill_box(path, box, size, working) > 0
    found = cut(source.load(next(source.items(0, 1))), rectangle) & rectangle
    return (rectangle if found.sum() < LEAST_COVER * rectangle.sum() else found).astype(np.uint8)


def grabcut(pixels: np.ndarray, rectangle: np.ndarray, steps: int = GRABCUT_STEPS) -> np.ndarray:
    """What within a rectangle differs from its surroundings (Rother et al., SIGGRAPH 2004).

    The surroundings are as wide as the rectangle on each side. The same input gives the same mask.

    Args:
        pixels: RGB (H, W, 3), uint8.
        rectangle: (H, W), bool.
        steps: of the alternation between colour models and cut.

    Returns:
        The mask (H, W), bool, within the rectangle; the rectangle itself where it has no surroundings.
    """
    left, top, width, height = cv2.boundingRect(rectangle.view(np.uint8))
    rows, columns = slice(max(0, top - height), top + 2 * height), slice(max(0, left - width), left + 2 * width)
    inside = rectangle[rows, columns]
    if inside.all():
        return rectangle
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(GRABCUT_SEED)
    picture = np.ascontiguousarray(pixels[rows, columns, ::-1])
    cv2.grabCut(picture, labels, (0, 0, 0, 0), models[0], models[1], steps, cv2.GC_INIT_WITH_MASK)
    mask = np.zeros_like(rectangle)
    mask[rows, columns] = labels == cv2.GC_PR_FGD
    return mask


def read_object(path: Path, size: Size) -> np.ndarray:
    """A mask that somebody drew: ids (H, W), uint8; all above 0 are the object, which gets 1.

    Args:
        path: of the mask.
        size: height and width of the frame.

    Raises:
        InputError: it is missing, empty or of another size.
    """
    mask = match_size(read_ids(path), size, path) > 0
    if not mask.any():
        raise InputError(f"mask {path} holds no object (0 is background); draw one")
    return mask.astype(np.uint8)
