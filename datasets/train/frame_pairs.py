"""Pairs of frames of videos without annotations, for pre-training (DropMAE, CVPR 2023)."""

import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from datasets.frame_files import read_frames
from datasets.train.clips import Sample
from util.errors import InputError
from util.images import IMAGE_SUFFIXES, list_images, natural_key
from util.tensors import normalise_images

FRAMES_FOLDER = "JPEGImages"
SMALLEST_CROP = 0.2
SUFFIXES = tuple(IMAGE_SUFFIXES)

logger = logging.getLogger(__name__)


class FramePairs(Dataset):
    """Two frames of each video, the earlier one first, each cropped and mirrored for itself.

    Args:
        videos: folders with at least two pictures each, see `find_videos`.
        image_size: side of the square frames, in pixels.
        frame_gap: the frames lie less than this apart.
    """

    def __init__(self, videos: Sequence[Path], *, image_size: int = 224, frame_gap: int = 50) -> None:
        from torchvision.transforms import InterpolationMode  # here: it takes as long to import as torch itself
        from torchvision.transforms.v2 import Compose, RandomHorizontalFlip, RandomResizedCrop

        self.videos = list(videos)
        self.frame_gap = frame_gap
        self._view = Compose(
            [
                RandomResizedCrop(image_size, (SMALLEST_CROP, 1.0), interpolation=InterpolationMode.BICUBIC),
                RandomHorizontalFlip(),
            ]
        )

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.videos)

    def __getitem__(self, index: int) -> Sample:
        """Frames (2,3,S,S) uint8, and the video as `name`; all draws are from torch's default generator.

        Raises:
            InputError: a frame cannot be read.
        """
        paths = list_images(self.videos[index])
        drawn = read_frames([paths[i] for i in draw_pair(len(paths), self.frame_gap)])
        pair = [torch.from_numpy(frame).permute(2, 0, 1) for frame in drawn]
        return {"frames": torch.stack([self._view(frame) for frame in pair]), "name": str(self.videos[index])}


def draw_pair(length: int, frame_gap: int) -> tuple[int, int]:
    """Positions of an earlier and a later frame of a video of at least two, less than `frame_gap` (2 or more) apart."""
    earlier = int(torch.randint(length - 1, ()))
    later = int(torch.randint(earlier + 1, min(length, earlier + frame_gap), ()))
    return earlier, later


def find_videos(roots: Sequence[Path], names: Collection[str] | None = None) -> list[Path]:
    """Folders below the roots, links included, that hold at least two pictures, in natural order.

    Beside a folder JPEGImages nothing else is searched, so that annotations of DAVIS and YouTube-VOS are no videos.

    Args:
        roots: folders; one may be a video itself.
        names: of the videos to use, without their path; None takes all.

    Raises:
        InputError: a root does not exist, or there is no video.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for root in roots:
        if not Path(root).is_dir():
            raise InputError(f"folder of videos {root} does not exist; check --videos")
        found += _videos_below(Path(root), seen)
    wanted = [video for video in found if names is None or video.name in names]
    if not wanted:
        where, what = ", ".join(map(str, roots)), "video" if names is None else "video of the list"
        raise InputError(f"{where} holds no {what}: no such folder with at least 2 pictures; check --videos")
    missing = sorted(set(names or ()) - {video.name for video in wanted})
    if missing:
        logger.warning("%d videos of the list are missing or too short: %s", len(missing), ", ".join(missing[:5]))
    return wanted


def _videos_below(root: Path, seen: set[str]) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # reached by another link before
            folders.clear()
            continue
        seen.add(real)
        below = [FRAMES_FOLDER] if FRAMES_FOLDER in folders else [name for name in folders if name[0] != "."]
        folders[:] = sorted(below, key=lambda name: natural_key(Path(name)))
        if sum(name[0] != "." and name.lower().endswith(SUFFIXES) for name in files) > 1:
            found.append(Path(folder))
    return found


def collate_pairs(samples: Sequence[Sample]) -> Sample:
    """A batch: frames (B,2,3,S,S), the names, and the messages about rejected files together."""
    return {
        "frames": default_collate([sample["frames"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "rejected": [message for sample in samples for message in sample["rejected"]],
    }


def pairs_to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """What a pre-training step takes: frames (B,2,3,S,S) float32, normalised with ImageNet's mean and deviation."""
    return {"frames": normalise_images(batch["frames"].to(device, non_blocking=True))}
