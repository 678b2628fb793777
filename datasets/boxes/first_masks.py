"""The mask of an object of which only the box is known."""

from pathlib import Path

import cv2
import numpy as np

from datasets.boxes.boxes import Box, mask_of_box
from datasets.frame_files import FrameSource
from datasets.mask_files import match_size, read_ids
from util.errors import InputError

GRABCUT_STEPS = 5
GRABCUT_SEED = 0
LEAST_COVER = 0.1

Size = tuple[int, int]


def grabcut(pixels: np.ndarray, rectangle: np.ndarray, steps: int = GRABCUT_STEPS) -> np.ndarray:
    """What within a rectangle differs from its surroundings (Rother et al., SIGGRAPH 2004).

    The surroundings are as wide as the rectangle on each side. The same input gives the same mask.

    Args:
        pixels: RGB (H, W, 3), uint8.
        rectangle: (H, W), bool.
        steps: of the alternation between colour models and cut.

    Returns:
        The mask (H, W), bool, within the rectangle; the rectangle itself where it has no surroundings, or where less
        than a tenth of it would be left.
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
    found = labels == cv2.GC_PR_FGD
    if found.sum() < LEAST_COVER * inside.sum():
        return rectangle
    mask = np.zeros_like(rectangle)
    mask[rows, columns] = found
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


def cut_out(path: Path, box: Box, size: Size, working: Size, source: FrameSource) -> np.ndarray:
    """What `grabcut` finds in the box in the first frame of the source: ids (H, W), uint8; see `fill_box`."""
    rectangle = fill_box(path, box, size, working) > 0
    return grabcut(source.load(next(source.items(0, 1))), rectangle).astype(np.uint8)
