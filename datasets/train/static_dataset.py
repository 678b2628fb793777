"""Clips made of one picture with a mask: three augmented views of it (stage 0 of QDMN, ECCV 2022)."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.frame_files import read_frame
from datasets.mask_files import HALF_BRIGHTNESS, brightness_of_object, match_size
from datasets.train.augment import static_views
from datasets.train.clips import Sample, pack_clip
from datasets.train.geometry import Size
from datasets.train.render import render_mask
from util.errors import InputError
from util.images import is_clutter

PICTURES, MASKS = frozenset({".jpg"}), frozenset({".png"})
REPEATS = {"BIG_small": 5, "HRSOD_small": 5}

logger = logging.getLogger(__name__)


def list_static(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files of a set with these suffixes in any letter case, in its folder or else one level below, sorted.

    Hidden files and folders are left out.
    """
    own = _list_files(root, suffixes)
    if own or not root.is_dir():
        return own
    below = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
    return [file for folder in below for file in _list_files(folder, suffixes)]


def _list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_clutter(path.name))
    return sorted(files)


def static_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Pictures <name>.jpg of a set with their masks <name>.png, sorted; suffixes in any letter case."""
    masks = {path.with_suffix(""): path for path in list_static(root, MASKS)}
    pictures = list_static(root, PICTURES)
    return [(path, masks[path.with_suffix("")]) for path in pictures if path.with_suffix("") in masks]


class StaticDataset(Dataset):
    """Views of the pictures of one set, `<root>/<name>.jpg|png` or `<root>/<class>/<name>.jpg|png`.

    Args:
        root: folder of the set.
        image_size: height and width of the views, in pixels.
        clip_length: number T of views.
        soft_masks: the published behaviour, masks resampled bicubically and left in [0, 1]; by default a mask is 0
            or 1, which keeps the intersection over union that the quality score learns exact.
        render: see `pack_clip`.

    Raises:
        InputError: the folder holds no picture with a mask, or no mask shows an object.
    """

    def __init__(
        self,
        root: Path,
        *,
        image_size: Size = (384, 384),
        clip_length: int = 3,
        soft_masks: bool = False,
        render: bool = True,
    ) -> None:
        self.root = Path(root)
        self.image_size = image_size
        self.clip_length = clip_length
        self.soft_masks = soft_masks
        self.render = render
        found = list_static(self.root, PICTURES)
        pairs = static_pairs(self.root)
        self.pictures = [picture for picture, _ in pairs]
        self.masks = [mask for _, mask in pairs]
        if not self.pictures:
            raise InputError(f"{root} holds no picture .jpg with its mask .png beside it; check the path")
        if len(self.pictures) < len(found):
            logger.warning("%s: %d pictures without a .png mask are left out", root, len(found) - len(self.pictures))
        if not any(map(_may_show_object, self.masks)):
            raise InputError(f"no mask of {root} shows an object; check the masks, or take the folder away")

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        """The sample described at `pack_clip`, with K = 1.

        Raises:
            InputError: a file cannot be read, picture and mask differ in size, or the mask shows no object.
        """
        path, mask_path = self.pictures[index], self.masks[index]
        frame = read_frame(path)
        mask = match_size(read_static_mask(mask_path), frame.shape[:2], mask_path)
        views = static_views(frame.shape[:2], self.clip_length, self.image_size)
        masks = torch.from_numpy(np.stack([render_mask(mask, view, soft=self.soft_masks) for view in views]))
        if not self.soft_masks:
            masks = (masks > HALF_BRIGHTNESS).to(torch.uint8) * 255
        name = str(path.relative_to(self.root.parent).with_suffix(""))
        return pack_clip([frame], views, masks.unsqueeze(1), torch.ones(1), name, render=self.render)


def read_static_mask(path: Path) -> np.ndarray:
    """The mask of a picture, grey (H, W) uint8; see `brightness_of_object`.

    Raises:
        InputError: it cannot be read or shows no object.
    """
    mask = brightness_of_object(path)
    if mask.max() <= HALF_BRIGHTNESS:
        raise InputError(f"mask {path} shows no object; draw one or take the picture away")
    return mask


def _may_show_object(path: Path) -> bool:
    """Whether a mask shows an object, or cannot be read, which the samples say by themselves."""
    try:
        return bool(brightness_of_object(path).max() > HALF_BRIGHTNESS)
    except InputError:
        return True


def static_datasets(root: Path, **options: Any) -> list[tuple[StaticDataset, int]]:
    """All sets under `root` and how often each is gone through: once, BIG_small and HRSOD_small five times.

    Args:
        root: folder with the set folders fss, DUTS-TR, DUTS-TE, BIG_small, HRSOD_small, ecssd or others like them.
        options: keywords of `StaticDataset`.

    Raises:
        InputError: the folder is missing or holds no set.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"static root {root} does not exist; download the static pictures or pass their folder")
    below = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
    folders = [path for path in below if static_pairs(path)]
    if not folders:
        raise InputError(f"static root {root} has no folder of .jpg pictures with .png masks, such as DUTS-TR or ecssd")
    return [(StaticDataset(folder, **options), REPEATS.get(folder.name, 1)) for folder in folders]
