"""Small DAVIS trees on disk, and a core that needs no network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets.mask_files import write_binary, write_ids
from model.memory_network import AffinityNetwork

FRAMES_2017 = {"val": "trainval", "testdev": "test-dev"}
LISTS_2017 = {"val": "val", "testdev": "test-dev"}


def make_mask(objects=(2, 5, 9), size=(37, 53)):
    """Objects as upright bars, 4 pixels wide, with background between them; (H, W) uint8."""
    ids = np.zeros(size, np.uint8)
    for position, object_id in enumerate(objects):
        ids[5:30, 4 + 8 * position : 8 + 8 * position] = object_id
    return ids


def write_frames(folder: Path, names=("00000", "00001", "00002", "00003"), size=(37, 53)):
    """Frames of one brightness each, 10 more from name to name, as JPEGs."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        Image.fromarray(np.full((*size, 3), 10 * index % 256, np.uint8)).save(folder / f"{name}.jpg")


def write_video_2017(root: Path, name: str, ids=None, split="val", names=("00000", "00001", "00002", "00003")):
    """A video whose objects do not move; test-dev has only the first mask."""
    folder = root / FRAMES_2017[split]
    ids = make_mask() if ids is None else ids
    write_frames(folder / "JPEGImages/480p" / name, names, ids.shape)
    masks = folder / "Annotations/480p" / name
    masks.mkdir(parents=True)
    for frame in names if split == "val" else names[:1]:
        write_ids(masks / f"{frame}.png", ids)


def make_davis_2017(root: Path, videos=("bike", "cat"), split="val", **options) -> Path:
    """A DAVIS 2017 tree."""
    for name in videos:
        write_video_2017(root, name, split=split, **options)
    write_list(root / FRAMES_2017[split] / f"ImageSets/2017/{LISTS_2017[split]}.txt", videos)
    return root


def make_davis_2016(root: Path, videos=("bike", "cat")) -> Path:
    """A DAVIS 2016 tree with its list in the tree of DAVIS 2017 beside it."""
    ids = make_mask()
    for name in videos:
        write_frames(root / "JPEGImages/480p" / name)
        masks = root / "Annotations/480p" / name
        masks.mkdir(parents=True)
        for frame in range(4):
            write_binary(masks / f"{frame:05d}.png", ids > 0)
    write_list(root.parent / "2017/trainval/ImageSets/2016/val.txt", videos)
    return root


def write_list(path: Path, lines) -> Path:
    """A list file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass(frozen=True)
class FakeBankReport:
    objects: tuple
    relative_quality: float | None = None
    stored: str = "temporary"
    rejected: bool = False
    evicted: int | None = None
    memory_frames: tuple = (0,)


@dataclass(frozen=True)
class FakeReport:
    frame: int
    objects: tuple
    quality: tuple
    banks: tuple


class FakeNetwork(AffinityNetwork):
    """What the scripts ask of a network when a fake core does all the work."""

    arch = "qdmn"
    quality_scorer = None


FAKE_NETWORK = FakeNetwork()


class FakeCore:
    """Says that objects stay where their latest mask has them; notes the brightness of the frames it sees."""

    seen: list

    def __init__(self, network, memory=None, **options):
        self.memory, self.options = memory, options
        self.objects = ()
        self.report = None
        self.frame = -1
        self._masks = {}
        FakeCore.seen = []

    def step(self, image, mask=None, objects=None):
        assert image.dtype == torch.float32
        assert (mask is not None) == (objects is not None)
        assert mask is None or mask.shape[1:] == image.shape[1:]
        self.frame += 1
        FakeCore.seen.append(image[0].mean().item())
        self._masks |= dict(zip(objects or (), mask if mask is not None else (), strict=True))
        self.objects = tuple(self._masks)
        masks = torch.stack(list(self._masks.values()))
        quality = tuple([0.9] * len(self.objects))
        self.report = FakeReport(self.frame, self.objects, quality, (FakeBankReport(self.objects),))
        return torch.cat([1 - masks.amax(0, keepdim=True), masks])
