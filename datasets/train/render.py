"""Making the frames and masks that `datasets.train.augment.View` describes: one resampling, then one colour map.

On the CPU with OpenCV, frame by frame; on any device with torch, clip by clip, as a `ClipPlan` says that the loaders
have made. Frames are resampled bicubically, from a
picture that has been reduced before where the view shrinks it; masks are read at the nearest pixel.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.train.augment import View
from datasets.train.geometry import scaling, translation

MOST_APART, FEW = 2, 0.001  # grey values by which two ways of rendering may differ, and the share that may differ more


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


class ClipPlan(NamedTuple):
    """The views of a clip as tensors, which a loader can pin and a device can take without waiting.

    Attributes:
        factor: by which the sources are reduced first.
        height, width: H' and W' of the views, in pixels.
        matrices: (T,2,3), pixel index of the view, or what its warp reads there -> place in the reduced source, in
            -1..1 from border to border.
        colours: (T,3,7), see `colour_map`.
        fills: (T,3,1,1), in 0..255.
        warps: (T,H',W',2), see `View`; None where no view has any.
    """

    factor: int
    height: int
    width: int
    matrices: Tensor
    colours: Tensor
    fills: Tensor
    warps: Tensor | None

    def to(self, device: torch.device) -> "ClipPlan":
        """The same on a device, which nobody waits for if it is pinned."""
        tensors = {name: x for name, x in self._asdict().items() if isinstance(x, Tensor)}
        sent: dict[str, Any] = {name: x.to(device, non_blocking=True) for name, x in tensors.items()}
        return self._replace(**sent)


def plan_clip(views: Sequence[View], size: tuple[int, int]) -> ClipPlan:
    """What `render_clip` is to do.

    Args:
        views: of a clip, of one size.
        size: height and width of the sources.
    """
    factor = reduction(views)
    height, width = (side // factor for side in size)
    last = translation(-1, -1) @ scaling(2 / width, 2 / height) @ translation(0.5, 0.5) @ reduced(factor)
    warps = None
    if any(view.warp is not None for view in views):
        own = np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in views[0].size[::-1])), axis=-1)
        warps = torch.from_numpy(np.stack([own if view.warp is None else view.warp for view in views]))
    return ClipPlan(
        factor,
        *views[0].size,
        torch.from_numpy(np.stack([(last @ view.matrix)[:2] for view in views])).float(),
        torch.from_numpy(np.stack([view.colour for view in views])).float(),
        torch.tensor([view.fill for view in views], dtype=torch.float32).view(-1, 3, 1, 1),
        warps,
    )


def render_clip(frames: Tensor, plan: ClipPlan) -> Tensor:
    """The views of a clip, made on the device of its frames and of the plan.

    Args:
        frames: (T,3,H,W) uint8, or (1,3,H,W) for views of one picture.
        plan: of T views.

    Returns:
        (T,3,H',W') uint8.
    """
    pictures = frames.float()
    if plan.factor > 1:
        pictures = F.avg_pool2d(pictures, plan.factor)
    pictures = pictures.expand(len(plan.matrices), -1, -1, -1) - plan.fills
    pictures = F.grid_sample(pictures, _grid(plan), mode="bicubic", padding_mode="zeros", align_corners=False)
    pictures = (pictures + plan.fills).round_().clamp_(0, 255)
    of_pixel, of_mean, constant = plan.colours.split((3, 3, 1), dim=2)
    offset = of_mean @ pictures.mean((2, 3)).unsqueeze(2) + constant
    pictures = torch.baddbmm(offset, of_pixel, pictures.flatten(2)).view_as(pictures)
    return pictures.round_().clamp_(0, 255).to(torch.uint8)


def _grid(plan: ClipPlan) -> Tensor:
    """Where `grid_sample` reads, (T,H',W',2) in -1..1 from border to border."""
    if plan.warps is None:
        rows, columns = (torch.arange(side, device=plan.matrices.device) for side in (plan.height, plan.width))
        x, y = columns[None, None, :, None], rows[None, :, None, None]
    else:
        x, y = plan.warps[..., :1], plan.warps[..., 1:]
    of_x, of_y, shift = plan.matrices[:, None, None].unbind(-1)
    return of_x * x + of_y * y + shift


def renders_apart(found: Tensor, expected: Tensor) -> str:
    """In what rendered frames, uint8, differ from others by more than rounding; "" if they do not."""
    difference = (found.short() - expected.short()).abs()
    wrong = (difference > MOST_APART).float().mean().item()
    return f"{wrong:.2%} of the values differ by more than {MOST_APART}" if wrong > FEW else ""
