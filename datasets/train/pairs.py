"""Frames and masks that belong together: their files and their sizes."""

import logging
import os
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from util.errors import InputError
from util.images import IMAGE_SUFFIXES, is_clutter, natural_key

MAX_SIZE_DIFFERENCE = 2
VOID = 255


def _names_by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, str]:
    """File names of a folder by their stems, hidden files left out; empty where the folder is missing.

    Raises:
        InputError: two files have one stem.
    """
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        parts = [entry.name.rpartition(".") for entry in entries if not is_clutter(entry.name)]
    named = [(stem, f"{stem}.{suffix}") for stem, _, suffix in parts if f".{suffix.lower()}" in suffixes]
    found: dict[str, str] = {}
    for stem, name in named:
        if found.setdefault(stem, name) != name:
            raise InputError(f"folder {folder} holds {found[stem]} and {name}; remove one of them")
    return found


def list_pairs(frames: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pictures of one folder with the .png masks of the same stem in another, in natural order.

    Pictures without mask and masks without picture are left out; a missing folder gives no pairs.

    Raises:
        InputError: two pictures or two masks of a folder have one stem.
    """
    mask_names, frame_names = _names_by_stem(masks, {".png"}), _names_by_stem(frames, IMAGE_SUFFIXES)
    pairs = [(frames / name, masks / mask_names[stem]) for stem, name in frame_names.items() if stem in mask_names]
    return sorted(pairs, key=lambda pair: natural_key(pair[0]))


def drop_void(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Masks of one clip with void turned into background.

    255 is void beside other ids (palette masks); where no other id occurs (0/255 masks) it is the object.
    """
    is_palette = any(((mask > 0) & (mask < VOID)).any() for mask in masks)
    return [np.where(mask == VOID, np.uint8(0), mask) for mask in masks] if is_palette else masks


@lru_cache(maxsize=4096)
def _warn_once(message: str) -> None:
    logging.getLogger(__name__).warning(message)


def match_size(mask: np.ndarray, size: tuple[int, int], name: object) -> np.ndarray:
    """The mask at the size of its frame; a difference of up to two pixels is resized away with one warning.

    Args:
        mask: ids (H, W), uint8 or uint16.
        size: height and width of the frame.
        name: the mask's file or video, for the message.

    Returns:
        ids (H, W), resampled to the nearest neighbour where the sizes differ.

    Raises:
        InputError: the sizes differ by more than two pixels.
    """
    (height, width), (frame_height, frame_width) = mask.shape[:2], size
    if (height, width) == (frame_height, frame_width):
        return mask
    sizes = f"mask {name} is {width}x{height} but its frame is {frame_width}x{frame_height}"
    if max(abs(height - frame_height), abs(width - frame_width)) > MAX_SIZE_DIFFERENCE:
        raise InputError(f"{sizes}; export both at the same size")
    _warn_once(f"{sizes}; the mask is resized")
    return np.array(Image.fromarray(mask).resize((frame_width, frame_height), Image.Resampling.NEAREST))
