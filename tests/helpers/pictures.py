"""Small generated pictures, masks and videos for the tests of the training datasets."""

from functools import partial

import numpy as np
import torch
from PIL import Image

from datasets.mask_files import write_ids
from datasets.train.augment import View, video_views
from datasets.train.colour import colour_map
from datasets.train.frame_sampling import sample_positions
from datasets.train.render import plan_clip, render_clip, render_frame
from datasets.train.vos_dataset import VOSDataset

SIZE = 48
CANVAS = (SIZE, SIZE)
GREY_STEP = 5
PLAIN = colour_map(())


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


def write_numbered_video(root, video, count):
    """A video all of whose pixels are object 1 and tell the number of their frame; see `frame_numbers`."""
    write_video(root, video, [np.ones((16, 16), np.uint8)])
    mask = (root / f"Annotations/{video}/00000.png").read_bytes()
    for i in range(count):
        (root / f"Annotations/{video}/{i:05d}.png").write_bytes(mask)
        Image.new("RGB", (16, 16), (GREY_STEP * i,) * 3).save(root / f"JPEGImages/{video}/{i:05d}.jpg")


def frame_numbers(sample):
    """Which frames of a numbered video an unrendered sample is made of."""
    return (sample["frames"].sources[:, 0, 0, 0] / GREY_STEP).round().int().tolist()


def longest_step(samples):
    """The largest distance of neighbouring frames in unrendered samples of a numbered video."""
    return max(int(np.abs(np.diff(frame_numbers(sample))).max()) for sample in samples)


def write_set(folder, names=("a", "b")):
    for name in names:
        write_pair(folder / f"{name}.jpg", folder / f"{name}.png", boxes(255))


def video_dataset(root, *, image_size=CANVAS, min_scale=0.36, distinct=True, max_skip=3, **options):
    draws = {
        "draw_positions": partial(sample_positions, distinct=distinct),
        "draw_views": partial(video_views, canvas=image_size, min_scale=min_scale),
    }
    return VOSDataset(root / "JPEGImages", root / "Annotations", max_skip=max_skip, **{**draws, **options})


def red_channel(sample):
    """(T, S, S), 0..255."""
    return sample["frames"][:, 0]


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in ("frames", "masks", "selector"))


def smooth_picture(height, width):
    y, x = np.mgrid[:height, :width] / max(height, width)
    picture = np.stack([128 + 90 * np.sin(6 * x), 128 + 90 * np.cos(5 * y), 60 + 100 * x], axis=-1)
    return picture.round().astype(np.uint8)


def ellipse(height, width):
    """bool (H, W), an ellipse beside the middle."""
    y, x = np.mgrid[:height, :width] + 0.5
    return ((y / height - 0.5) / 0.25) ** 2 + ((x / width - 0.55) / 0.22) ** 2 < 1


def centre_of_mass(weights):
    """(x, y) in pixel indices."""
    y, x = np.indices(weights.shape)
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def plain_view(side, matrix=None, warp=None, colour=PLAIN, **options):
    """A view, square if only a side is given, that leaves everything as it is unless told."""
    size = (side, side) if isinstance(side, int) else side
    return View(size, np.eye(3) if matrix is None else matrix, warp, colour, **options)


def as_clip(*frames):
    """RGB (H, W, 3) -> (T, 3, H, W)."""
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def render_by_torch(frame, view):
    """`render_clip` with the arguments of `render_frame`."""
    return render_clip(as_clip(frame), plan_clip([view], frame.shape[:2]))[0].permute(1, 2, 0).numpy()


RENDERERS = {"opencv": render_frame, "torch": render_by_torch}
