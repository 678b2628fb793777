"""Making the frames and masks that `datasets.train.augment.View` describes: one resampling, then one colour map.

On the CPU with OpenCV, frame by frame; on any device with torch, clip by clip. Frames are resampled bicubically, from a
picture that has been reduced before where the view shrinks it; masks are read at the nearest pixel.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.train.augment import View
from datasets.train.geometry import scaling, translation


def render_frame(frame: np.ndarray, view: View) -> np.ndarray:
    """RGB (H,W,3) uint8 -> its view (H',W',3) uint8."""
    factor, matrix = reduction([view]), view.matrix
    if factor > 1:
        height, width = (side // factor for side in frame.shape[:2])
        frame = cv2.resize(frame[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        matrix = reduced(factor) @ matrix
    picture = _resample(frame, view, matrix, cv2.INTER_CUBIC, view.fill)
    of_pixel, of_mean, constant = np.split(view.colour, (3, 6), axis=1)
    offset = of_mean @ np.array(cv2.mean(picture)[:3]) + constant[:, 0]
    return cv2.transform(picture, np.column_stack([of_pixel, offset]))


def render_mask(mask: np.ndarray, view: View, *, soft: bool = False) -> np.ndarray:
    """Ids or grey values (H,W) uint8 -> their view (H',W') uint8, 0 outside.

    Args:
        mask: of the size of its frame.
        view: what to make of it.
        soft: resample bicubically, as published for static pictures.
    """
    return _resample(mask, view, view.matrix, cv2.INTER_CUBIC if soft else cv2.INTER_NEAREST, 0)


def _resample(
    picture: np.ndarray, view: View, matrix: np.ndarray, interpolation: int, fill: tuple[int, ...] | int
) -> np.ndarray:
    if view.warp is None:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, matrix[:2], view.size[::-1], flags=flags, borderValue=fill)
    pixels = cv2.transform(view.warp, matrix[:2])
    return cv2.remap(picture, pixels, None, interpolation, borderValue=fill)  # type: ignore[call-overload]


def reduction(views: Sequence[View]) -> int:
    """The whole number by which a source can be reduced before its views are read, because they shrink it more."""
    return max(*(int(abs(np.linalg.det(view.matrix[:2, :2])) ** 0.5) for view in views), 1)


def reduced(factor: int) -> np.ndarray:
    """Pixel index of a picture -> pixel index of the picture reduced by a factor, (3,3)."""
    return translation(-0.5, -0.5) @ scaling(1 / factor, 1 / factor) @ translation(0.5, 0.5)


def render_clip(frames: Tensor, views: list[View]) -> Tensor:
    """The views of a clip, made on the device of its frames.

    Args:
        frames: (T,3,H,W) uint8, or (1,3,H,W) for views of one picture.
        views: T of them, of one size.

    Returns:
        (T,3,H',W') uint8.
    """
    factor, pictures = reduction(views), frames.float()
    if factor > 1:
        pictures = F.avg_pool2d(pictures, factor)
    size = pictures.shape[-2], pictures.shape[-1]
    fill = torch.tensor([view.fill for view in views], device=frames.device, dtype=torch.float32).view(-1, 3, 1, 1)
    grid = torch.stack([_grid(view, reduced(factor) @ view.matrix, size) for view in views]).to(frames.device)
    pictures = F.grid_sample(pictures - fill, grid, mode="bicubic", padding_mode="zeros", align_corners=False) + fill
    pictures = pictures.round_().clamp_(0, 255)
    colour = torch.from_numpy(np.stack([view.colour for view in views])).to(frames.device, torch.float32)
    of_pixel, of_mean, constant = colour.split((3, 3, 1), dim=2)
    offset = of_mean @ pictures.mean((2, 3)).unsqueeze(2) + constant
    pictures = torch.baddbmm(offset, of_pixel, pictures.flatten(2)).view_as(pictures)
    return pictures.round_().clamp_(0, 255).to(torch.uint8)


def _grid(view: View, matrix: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Where `grid_sample` reads, (H',W',2) in -1..1 from border to border."""
    if view.warp is None:
        rows, columns = (np.arange(side, dtype=np.float32) for side in view.size)
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1)
    else:
        pixels = view.warp
    height, width = size
    last = translation(-1, -1) @ scaling(2 / width, 2 / height) @ translation(0.5, 0.5)
    return torch.from_numpy(cv2.transform(pixels, (last @ matrix)[:2]).astype(np.float32))
