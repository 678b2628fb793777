"""Mask files whose values are known to be ids, or to show one object: reading, writing, finding them beside frames."""

import logging
import os
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.smooth_edges import find_edges, find_smooth_edges, smooth_mask_error
from util.errors import InputError
from util.files import atomic_path
from util.images import IMAGE_SUFFIXES, is_clutter, natural_key, open_picture

VOID = 255  # neither object nor background
MAX_ID = 65535
HALF_BRIGHTNESS = 127
MAX_SIZE_DIFFERENCE = 2  # pixels between a mask and its frame
GREY_STEPS = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies the values of 2- and 4-bit grey


def open_mask(path: Path) -> Image.Image:
    """A picture with its pixels loaded as they are stored: PIL scales grey of 2 and 4 bits, which is undone.

    Raises:
        InputError: the file is missing, truncated or not a picture.
    """
    picture = open_picture(path)
    step = next((step for form, step in GREY_STEPS.items() if form in picture.info["samples"]), 1)
    return picture if step == 1 or picture.mode != "L" else Image.fromarray(np.array(picture) // step)


def read_ids(path: Path, *, checked: bool = True) -> np.ndarray:
    """The object ids of a mask file, shape (H, W), uint8; 0 is background.

    Palette and grey PNGs hold the ids themselves; a one-bit PNG holds 0 and 1.

    Args:
        path: of the mask.
        checked: refuse smoothed edges; results of ours have none.

    Raises:
        InputError: the file cannot be read, is a colour picture, holds ids above 255, or has smoothed edges.
    """
    return _checked_ids(open_mask(path), path, checked)


def _checked_ids(picture: Image.Image, path: Path, checked: bool) -> np.ndarray:
    if picture.mode == "1":
        return np.array(picture, dtype=np.uint8)
    if picture.mode.startswith("I"):
        ids = np.array(picture)
        if ids.min() < 0 or ids.max() > 255:
            raise InputError(f"mask {path} holds id {ids.max()}; renumber its objects to 1..255")
        ids = ids.astype(np.uint8)
    elif picture.mode in ("P", "L"):
        ids = np.array(picture)
    else:
        raise InputError(f"mask {path} is a colour picture ({picture.mode}); save object ids as a palette or grey PNG")
    edges = find_edges(picture, ids) if checked else None
    if edges is not None:
        raise smooth_mask_error(path, edges)
    return ids


def read_foreground(path: Path, *, checked: bool = True) -> tuple[np.ndarray, bool]:
    """Where a mask file has any object, uint8 (H, W) in {0, 1}, and whether it was cut at half brightness.

    Every value above 0 counts, but a grey mask with smoothed edges whose brightest value is 255 counts above 127.

    Args:
        path: of the mask.
        checked: look for smoothed edges.

    Raises:
        InputError: as for `read_ids`.
    """
    picture = open_mask(path)
    if checked and picture.mode == "L":
        values = np.array(picture)
        if values.max() == 255 and find_smooth_edges(values) is not None:
            return (values > HALF_BRIGHTNESS).astype(np.uint8), True
    return (_checked_ids(picture, path, checked) > 0).astype(np.uint8), False


def brightness_of_object(path: Path) -> np.ndarray:
    """The mask of a single object as grey (H, W) uint8, above 127 where the object is.

    Palette, one-bit and 16-bit pictures show it where they are not 0; grey and colour pictures where they are brighter
    than 127, or, if they nowhere are, not 0. Fully transparent pixels do not count.

    Raises:
        InputError: the file cannot be read, or is dark and has smoothed edges.
    """
    picture = open_mask(path)
    if picture.mode in ("1", "P") or picture.mode.startswith("I"):
        return ((np.array(picture) > 0) * 255).astype(np.uint8)
    grey = np.array(picture if picture.mode == "L" else picture.convert("RGB").convert("L"))
    if "A" in picture.getbands():
        grey = grey * (np.array(picture.getchannel("A")) > 0)
    if grey.max() > HALF_BRIGHTNESS:
        return grey
    edges = find_smooth_edges(grey)
    if edges is not None:
        raise smooth_mask_error(path, edges)
    return ((grey > 0) * 255).astype(np.uint8)


def read_written_ids(path: Path) -> np.ndarray:
    """What `write_ids` has written: ids (H, W), uint8 or uint16."""
    return np.array(open_mask(path))


def write_ids(path: Path, ids: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write object ids (H, W) as a palette PNG, or as a 16-bit grey one if they are uint16.

    Args:
        path: of the PNG.
        ids: of the objects, 0 is background.
        palette: colours of the ids 0..255, (256, 3), uint8; the DAVIS palette by default.
    """
    if ids.dtype == np.uint16:
        _save_png(path, Image.fromarray(ids))
        return
    picture = Image.fromarray(ids.astype(np.uint8, copy=False))
    picture.putpalette((voc_palette() if palette is None else palette).tobytes())
    _save_png(path, picture)


def write_binary(path: Path, mask: np.ndarray) -> None:
    """Write a mask (H, W), bool, as an 8-bit grey PNG with the values 0 and 255."""
    _save_png(path, Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)))


def _save_png(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=1)


def read_objects(paths: Sequence[Path]) -> np.ndarray:
    """One mask from one black and white picture per object, ids (H, W), uint16; 0 is background.

    An object is where `brightness_of_object` is above 127. The ids are the names of the files where these are distinct
    numbers from 1 to 65535, else 1, 2, ... in natural order. Where objects overlap, the one that comes later wins.

    Raises:
        InputError: a picture cannot be read or differs in size from the first.
        ValueError: there is no picture.
    """
    if not paths:
        raise ValueError("no picture of an object is given")
    paths = sorted(paths, key=natural_key)
    ids = np.zeros((0, 0), np.uint16)
    for path, object_id in zip(paths, _object_ids(paths), strict=True):
        mask = brightness_of_object(path) > HALF_BRIGHTNESS
        if path is paths[0]:
            ids = np.zeros(mask.shape, np.uint16)
        if mask.shape != ids.shape:
            raise InputError(
                f"mask {path} is {mask.shape[1]}x{mask.shape[0]} but {paths[0]} is {ids.shape[1]}x{ids.shape[0]}; "
                f"export the masks at one size"
            )
        ids[mask] = object_id
    return ids


def _object_ids(paths: Sequence[Path]) -> list[int]:
    stems = [path.stem for path in paths]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    is_numbered = len(set(numbers)) == len(stems) and all(0 < number <= MAX_ID for number in numbers)
    return numbers if is_numbered else list(range(1, len(stems) + 1))


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


def voc_palette() -> np.ndarray:
    """Colours of the object ids 0..255, shape (256, 3), uint8.

    The bits of an id are dealt out to red, green and blue in turn, most significant colour bit first.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def list_pairs(frames: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pictures of one folder with the .png masks of the same stem in another, in natural order.

    Pictures without mask and masks without picture are left out; a missing folder gives no pairs.

    Raises:
        InputError: two pictures or two masks of a folder have one stem.
    """
    mask_names, frame_names = _names_by_stem(masks, {".png"}), _names_by_stem(frames, IMAGE_SUFFIXES)
    pairs = [(frames / name, masks / mask_names[stem]) for stem, name in frame_names.items() if stem in mask_names]
    return sorted(pairs, key=lambda pair: natural_key(pair[0]))


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
