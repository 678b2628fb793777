"""Clips made of one picture with a mask: three augmented views of it (stage 0 of QDMN, ECCV 2022)."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from datasets.augment import static_views
from datasets.clips import Sample, pack_clip
from datasets.geometry import Size
from datasets.pairs import match_size
from datasets.render import render_mask
from util.errors import InputError
from util.images import read_frame

REPEATS = {"BIG_small": 5, "HRSOD_small": 5}

logger = logging.getLogger(__name__)


def _list_pictures(root: Path) -> list[Path]:
    """Pictures `<name>.jpg`, else `<class>/<name>.jpg`."""
    return sorted(root.glob("*.jpg")) or sorted(root.glob("*/*.jpg"))


def _has_mask(picture: Path) -> bool:
    return picture.with_suffix(".png").is_file()


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
        InputError: the folder holds no picture with a mask.
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
        found = _list_pictures(self.root)
        self.pictures = [path for path in found if _has_mask(path)]
        if not self.pictures:
            raise InputError(f"{root} holds no picture .jpg with its mask .png beside it; check the path")
        if len(self.pictures) < len(found):
            logger.warning("%s: %d pictures without a .png mask are left out", root, len(found) - len(self.pictures))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        """The sample described at `pack_clip`, with K = 1.

        Raises:
            InputError: a file cannot be read, or picture and mask differ in size.
        """
        path = self.pictures[index]
        mask_path = path.with_suffix(".png")
        frame = read_frame(path)
        mask = match_size(np.array(Image.fromarray(read_frame(mask_path)).convert("L")), frame.shape[:2], mask_path)
        views = static_views(frame.shape[:2], self.clip_length, self.image_size)
        masks = torch.from_numpy(np.stack([render_mask(mask, view, soft=self.soft_masks) for view in views]))
        if not self.soft_masks:
            masks = (masks > 127).to(torch.uint8) * 255
        name = str(path.relative_to(self.root.parent).with_suffix(""))
        return pack_clip([frame], views, masks.unsqueeze(1), torch.ones(1), name, render=self.render)


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
    folders = [path for path in sorted(root.iterdir()) if any(map(_has_mask, _list_pictures(path)))]
    if not folders:
        raise InputError(f"static root {root} has no folder of .jpg pictures with .png masks, such as DUTS-TR or ecssd")
    return [(StaticDataset(folder, **options), REPEATS.get(folder.name, 1)) for folder in folders]
