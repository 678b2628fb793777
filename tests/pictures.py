"""Small generated pictures, masks and videos for the tests of the training datasets."""

import numpy as np
from PIL import Image

from datasets.vos_dataset import VOSDataset
from util.images import write_ids
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

SIZE = 48


def write_pair(picture_path, mask_path, ids):
    """A picture whose red channel shows where the mask is, and the mask."""
    for path in (picture_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.stack([np.where(ids > 0, 230, 20), np.full_like(ids, 120), np.full_like(ids, 60)], axis=-1)
    Image.fromarray(picture.astype(np.uint8)).save(picture_path, quality=95)
    write_ids(mask_path, ids)


def boxes(*labels, shape=(60, 80)):
    """Ids with one upright box for each label, side by side."""
    ids = np.zeros(shape, np.uint8)
    width = shape[1] // (len(labels) + 1)
    for i, label in enumerate(labels):
        ids[10:50, 8 + i * width : 8 + (i + 1) * width - 4] = label
    return ids


def write_video(root, video, frames):
    for i, ids in enumerate(frames):
        write_pair(root / f"JPEGImages/{video}/{i:05d}.jpg", root / f"Annotations/{video}/{i:05d}.png", ids)


def write_set(folder, names=("a", "b")):
    for name in names:
        write_pair(folder / f"{name}.jpg", folder / f"{name}.png", boxes(255))


def video_dataset(root, **options):
    options = {"max_skip": 3, "image_size": SIZE, **options}
    return VOSDataset(root / "JPEGImages", root / "Annotations", **options)


def red_channel(sample):
    """(T, S, S), 0..255."""
    return (sample["frames"][:, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]) * 255
