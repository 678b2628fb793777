"""Tensor helpers that know no network and no dataset."""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Padding = tuple[int, int, int, int]
Thing = TypeVar("Thing")


def normalise(frame: np.ndarray) -> Tensor:
    """RGB (H, W, 3) uint8 -> (3, H, W) float32 with ImageNet's mean and standard deviation removed."""
    return normalise_images(torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1))


def normalise_images(images: Tensor) -> Tensor:
    """RGB (...,3,H,W) uint8 -> float32 with ImageNet's mean and standard deviation removed."""
    images = images.float().div_(255)
    for channel, mean, std in zip(images.unbind(-3), IMAGENET_MEAN, IMAGENET_STD, strict=True):
        channel.sub_(mean).div_(std)  # numbers need not be sent to the device
    return images


def denormalise(images: Tensor) -> Tensor:
    """Undo `normalise`: (...,3,H,W) float -> uint8."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((images * std + mean) * 255).round_().clamp_(0, 255).to(torch.uint8)


def one_hot(ids: np.ndarray, objects: list[int]) -> Tensor:
    """Ids (H, W) -> (K, H, W) float32 with one row for each id of `objects`."""
    return torch.from_numpy(np.stack([ids == i for i in objects])).float()


def most_likely(probabilities: Tensor) -> Tensor:
    """The row that is largest in each place: (K+1,H,W) -> (H,W), int64. On a CPU several times as fast as `argmax`."""
    return probabilities.max(dim=0).indices


def take_rows(x: Tensor, rows: Sequence[int], dim: int = 0) -> Tensor:
    """A copy of some rows; unlike a list of indices, slices of rows need not be sent to the device."""
    starts = [i for i, row in enumerate(rows) if i == 0 or row != rows[i - 1] + 1]
    runs = [x.narrow(dim, rows[a], b - a) for a, b in pairwise([*starts, len(rows)])]
    return torch.cat(runs or [x.narrow(dim, 0, 0)], dim)


def pad_to_multiple(x: Tensor, multiple: int = 16) -> tuple[Tensor, Padding]:
    """Zero-pad the last two axes to a multiple; the odd pixel goes to the bottom and to the right.

    Returns:
        The padded tensor and the padding (left, right, top, bottom), in pixels.
    """
    height, width = x.shape[-2:]
    extra_h, extra_w = -height % multiple, -width % multiple
    left, top = extra_w // 2, extra_h // 2
    padding = (left, extra_w - left, top, extra_h - top)
    return F.pad(x, padding), padding


def unpad(x: Tensor, padding: Padding) -> Tensor:
    """Undo `pad_to_multiple`; a view."""
    left, right, top, bottom = padding
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a tensor; nobody waits for a CUDA device to take it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def from_device(tensor: Tensor) -> Callable[[], Tensor]:
    """Fetch a tensor; what is returned waits for it. A CUDA device may be asked for more in the meantime."""
    if tensor.device.type != "cuda":
        return tensor.cpu
    landed = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    arrival = torch.cuda.current_stream(tensor.device).record_event()

    def wait() -> Tensor:
        arrival.synchronize()
        return landed

    return wait


class Later(Generic[Thing]):
    """A value that is found when it is first asked for; two are equal where their values are.

    Args:
        find: finds it.
    """

    def __init__(self, find: Callable[[], Thing]) -> None:
        self._find = find

    @cached_property
    def value(self) -> Thing:
        """What `find` has found."""
        return self._find()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Later) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)


def numbers_of(tensor: Tensor) -> Later[tuple[float, ...]]:
    """The numbers of a tensor (n,), which are fetched at once and waited for when they are first read."""
    wait = from_device(tensor)
    return Later(lambda: tuple(wait().tolist()))


def chance(probability: float) -> bool:
    """True with this probability; this and the next two draw from torch's default generator."""
    return bool(torch.rand(()) < probability)


def between(low: float, high: float) -> float:
    """A uniform number in low..high."""
    return low + (high - low) * float(torch.rand(()))


def normal() -> float:
    """A number of the standard normal distribution."""
    return float(torch.randn(()))
