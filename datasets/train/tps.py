"""Thin-plate-spline warps, the elastic augmentation of QDMN (ECCV 2022) on static pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_tps import ThinPlateSpline


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


def pixel_map(source: Tensor, destination: Tensor, height: int, width: int, *, spacing: int = 1) -> Tensor:
    """Where each output pixel is read: a spline that carries each destination point back to its source.

    The spline is fitted to the displacement source - destination and added to linspace(0, 1) along both axes; the sum
    is scaled by the picture's size, as published, so that even an identity stretches W - 1 pixel steps to W.

    Args:
        source: (N, 2) float32, (x, y) in fractions of the picture.
        destination: (N, 2), where the source points end up.
        height, width: of the picture, in pixels.
        spacing: pixels between the points at which the spline is evaluated; it is interpolated in between.

    Returns:
        (H, W, 2) float32, the (x, y) pixel index to read for each output pixel; may lie outside the picture.
    """
    spline = ThinPlateSpline().fit(destination, source - destination)
    count = [-(-(side - 1) // spacing) + 1 for side in (height, width)]
    rows, columns = (torch.linspace(0, 1, points) for points in count)
    grid = torch.cartesian_prod(rows, columns).flip(1)
    mapped = (grid + spline.transform(grid)).view(1, *count, 2)
    if spacing > 1:
        mapped = F.interpolate(mapped.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=True)
        mapped = mapped.permute(0, 2, 3, 1)
    return mapped[0] * torch.tensor([width, height], dtype=torch.float32)
