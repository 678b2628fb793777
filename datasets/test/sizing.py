"""The size in which a network sees the frames of a video, and the way back to the size of the results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from util.errors import InputError
from util.tensors import Padding, normalise_images, to_device, unpad

Size = tuple[int, int]
CPU = torch.device("cpu")


class Sizing(ABC):
    """Frames and masks to the size that a network sees, and results back. Sizes are (height, width) in pixels."""

    @abstractmethod
    def working(self, size: Size) -> Size:
        """The size that the network sees of frames of this size."""

    def image(self, pixels: np.ndarray, device: torch.device = CPU) -> Tensor:
        """RGB (H,W,3) uint8 -> (3,h,w) float32, normalised, on the device.

        A CUDA device is sent bytes, which nobody waits for, and does the rest.
        """
        where = device if device.type == "cuda" else CPU
        sent = to_device(torch.from_numpy(np.ascontiguousarray(pixels)), where)
        return self._image(sent.permute(2, 0, 1)).to(device)

    @abstractmethod
    def _image(self, picture: Tensor) -> Tensor:
        """RGB (3,H,W) uint8 -> (3,h,w) float32, normalised."""

    @abstractmethod
    def mask(self, mask: Tensor, size: Size) -> Tensor:
        """Masks (K,H,W) in {0, 1} of frames of this size -> (K,h,w)."""

    @abstractmethod
    def restore(self, probabilities: Tensor, size: Size, output: Size) -> Tensor:
        """Probabilities (K+1,h,w) of frames of this size -> (K+1,*output)."""


@dataclass(frozen=True)
class Limit(Sizing):
    """Frames that are too large are reduced in proportion; smaller ones stay as they are.

    Frames are resized bicubically, as published without antialiasing, which those more than twice as large have;
    masks to the nearest pixel, and results bilinearly.

    Attributes:
        limit: () for none; (short,): most pixels of the shorter side; (height, width): most pixels of both.
    """

    limit: tuple[int, ...] = ()

    def working(self, size: Size) -> Size:
        """The size that the network sees; the longer side is rounded down, as published (YouTube-VOS, STM-Cycle)."""
        height, width = size
        limits = self.limit if len(self.limit) == 2 else self.limit * 2
        if len(self.limit) == 1:
            limits = (limits[0], width) if height < width else (height, limits[1])
        if not limits or (height <= limits[0] and width <= limits[1]):
            return height, width
        if limits[0] * width <= limits[1] * height:
            return limits[0], max(1, width * limits[0] // height)
        return max(1, height * limits[1] // width), limits[1]

    def _image(self, picture: Tensor) -> Tensor:
        image = normalise_images(picture)
        height, width = picture.shape[1:]
        size = self.working((height, width))
        if size == (height, width):
            return image
        coarse = height > 2 * size[0]
        return F.interpolate(image[None], size, mode="bicubic", align_corners=False, antialias=coarse)[0]

    def mask(self, mask: Tensor, size: Size) -> Tensor:
        working = self.working(size)
        return mask if mask.shape[-2:] == working else F.interpolate(mask[None], working, mode="nearest")[0]

    def restore(self, probabilities: Tensor, size: Size, output: Size) -> Tensor:
        if probabilities.shape[-2:] == output:
            return probabilities
        return F.interpolate(probabilities[None], output, mode="bilinear", align_corners=False)[0]


FULL_SIZE = Limit()


@dataclass(frozen=True)
class Letterbox(Sizing):
    """The published STM-Cycle's way: frames are scaled to fit a canvas, without antialiasing, and centred on black.

    Masks are resized bilinearly and cut off to whole numbers, so that objects lose every pixel that they share with
    others; results are resized by the nearest pixel. `Limit` of the same two numbers does it without these.

    Attributes:
        canvas: the size that the network sees.
    """

    canvas: Size

    def working(self, size: Size) -> Size:
        return self.canvas

    def _image(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[1:]
        return normalise_images(self._place(picture.float(), (height, width)))

    def mask(self, mask: Tensor, size: Size) -> Tensor:
        return self._place(mask, size).floor()

    def restore(self, probabilities: Tensor, size: Size, output: Size) -> Tensor:
        inner = unpad(probabilities, self._border(self._inner(size)))
        return inner if inner.shape[-2:] == output else F.interpolate(inner[None], output, mode="nearest")[0]

    def _inner(self, size: Size) -> Size:
        factor = min(canvas / side for canvas, side in zip(self.canvas, size, strict=True))
        return max(1, int(factor * size[0])), max(1, int(factor * size[1]))

    def _border(self, inner: Size) -> Padding:
        spare = [canvas - side for canvas, side in zip(self.canvas, inner, strict=True)]
        top, left = spare[0] // 2, spare[1] // 2
        return left, spare[1] - left, top, spare[0] - top

    def _place(self, picture: Tensor, size: Size) -> Tensor:
        inner = self._inner(size)
        if inner != size:
            picture = F.interpolate(picture[None], inner, mode="bilinear", align_corners=False)[0]
        return F.pad(picture, self._border(inner))


def choose_sizing(size: Sequence[int] | None, *, compat: bool = False) -> Sizing:
    """The sizing of a command line.

    Args:
        size: nothing, the most pixels of the shorter side, or those of height and width.
        compat: with height and width, the published letterbox.

    Raises:
        InputError: more than two numbers.
    """
    limit = tuple(size or ())
    if len(limit) > 2:
        raise InputError(f"--size {' '.join(map(str, limit))} has {len(limit)} numbers; give one, or height and width")
    return Letterbox(limit) if compat and len(limit) == 2 else Limit(limit)
