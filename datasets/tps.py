"""Thin-plate-spline warps of image and mask, the elastic augmentation of QDMN (ECCV 2022) on static pictures."""

from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch_tps import ThinPlateSpline
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf


def draw_control_points(height: int, width: int, count: int = 12, deviation: float = 0.02) -> tuple[Tensor, Tensor]:
    """Control points on distinct rows and columns, and the same points moved by Gaussian noise.

    Args:
        height: rows of the picture, at least `count`.
        width: columns of the picture, at least `count`.
        deviation: standard deviation of the move, in fractions of the picture.

    Returns:
        source and destination, both (count, 2) float32, as (x, y) in fractions of width and height.
    """
    x = torch.randperm(width)[:count] / width
    y = torch.randperm(height)[:count] / height
    source = torch.stack([x, y], dim=1)
    return source, source + deviation * torch.randn(source.shape)


def pixel_map(source: Tensor, destination: Tensor, height: int, width: int) -> Tensor:
    """Where each output pixel is read: a spline that carries each destination point back to its source.

    The spline is fitted to the displacement source - destination and added to linspace(0, 1) along both axes; the sum
    is scaled by the picture's size, as published, so that even an identity stretches W - 1 pixel steps to W.

    Args:
        source: (N, 2) float32, (x, y) in fractions of the picture.
        destination: (N, 2), where the source points end up.

    Returns:
        (H, W, 2) float32, the (x, y) pixel index to read for each output pixel; may lie outside the picture.
    """
    spline = ThinPlateSpline().fit(destination, source - destination)
    rows, columns = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
    grid = torch.cartesian_prod(rows, columns).flip(1)
    mapped = grid + spline.transform(grid)
    return mapped.view(height, width, 2) * torch.tensor([width, height], dtype=torch.float32)


def warp(image: Tensor, pixels: Tensor, mode: str) -> Tensor:
    """Read `image` at the pixel indices of a map; zeros outside.

    Args:
        image: (C, H, W), uint8 or float.
        pixels: (H, W, 2), from `pixel_map`.
        mode: "bilinear" or "nearest".

    Returns:
        (C, H, W), the dtype of `image`.
    """
    height, width = image.shape[-2:]
    last = torch.tensor([width - 1, height - 1], dtype=torch.float32)
    grid = pixels * (2 / last) - 1
    warped = F.grid_sample(image[None].float(), grid[None], mode=mode, padding_mode="zeros", align_corners=True)[0]
    return warped if image.is_floating_point() else warped.round_().to(image.dtype)


class RandomThinPlateWarp(v2.Transform):
    """Warp PIL images (bilinear) and masks (nearest) by one random thin-plate spline, with probability `p`."""

    def __init__(self, p: float = 0.33) -> None:
        super().__init__()
        self.p = p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The pixel map that all inputs of this call share; None leaves them as they are."""
        if torch.rand(()) >= self.p:
            return {"pixels": None}
        height, width = tvf.get_size(flat_inputs[0])
        return {"pixels": pixel_map(*draw_control_points(height, width), height, width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Warp one PIL image or one mask (1, H, W)."""
        pixels = params["pixels"]
        if pixels is None:
            return inpt
        if isinstance(inpt, Image.Image):
            return tvf.to_pil_image(warp(tvf.pil_to_tensor(inpt), pixels, "bilinear"))
        return tv_tensors.wrap(warp(inpt.as_subclass(Tensor), pixels, "nearest"), like=inpt)
