"""Clips made of one picture with a mask: three augmented views of it (stage 0 of QDMN, ECCV 2022)."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset

from datasets.augment import static_augmentation, to_mask
from datasets.pairs import match_size, pack_clip
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
        image_size: side S of the square views, in pixels.
        clip_length: number T of views.
        soft_masks: the published behaviour, masks resampled bicubically and left in [0, 1]; by default a mask is 0
            or 1, which keeps the intersection over union that the quality score learns exact.

    Raises:
        InputError: the folder holds no picture with a mask.
    """

    def __init__(self, root: Path, *, image_size: int = 384, clip_length: int = 3, soft_masks: bool = False) -> None:
        self.root = Path(root)
        self.clip_length = clip_length
        self.soft_masks = soft_masks
        self.augmentation = static_augmentation(image_size, soft_masks)
        found = _list_pictures(self.root)
        self.pictures = [path for path in found if _has_mask(path)]
        if not self.pictures:
            raise InputError(f"{root} holds no picture .jpg with its mask .png beside it; check the path")
        if len(self.pictures) < len(found):
            logger.warning("%s: %d pictures without a .png mask are left out", root, len(found) - len(self.pictures))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample described at `pack_clip`, with K = 1.

        Raises:
            InputError: a file cannot be read, or picture and mask differ in size.
        """
        path = self.pictures[index]
        mask_path = path.with_suffix(".png")
        frame = read_frame(path)
        grey = np.array(Image.fromarray(read_frame(mask_path)).convert("L"))
        mask = to_mask(match_size(grey, frame, mask_path))
        sequence = self.augmentation.sequence(Image.fromarray(frame), mask)
        frames, masks = self.augmentation.views(*([item] * self.clip_length for item in sequence))
        soft = torch.stack(list(masks)).float() / 255
        name = str(path.relative_to(self.root.parent).with_suffix(""))
        return pack_clip(frames, soft if self.soft_masks else (soft > 0.5).float(), torch.ones(1), name)


def static_datasets(root: Path, **options: Any) -> ConcatDataset:
    """All sets under `root`, each once, BIG_small and HRSOD_small five times.

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
    sets = {folder.name: StaticDataset(folder, **options) for folder in folders}
    return ConcatDataset([data for name, data in sets.items() for _ in range(REPEATS.get(name, 1))])
