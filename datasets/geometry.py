"""Maps from the pixels of an augmented view to the pixels of its source, as matrices.

A matrix (3,3) acts on homogeneous points (x, y, 1) in pixels, with the corner of the picture at (0, 0) and the centre
of its first pixel at (0.5, 0.5). The functions here go from source to view; `sampling_matrix` turns a chain of
them round.
"""

import math
from functools import reduce

import numpy as np
import torch
from torchvision.transforms import RandomAffine, RandomResizedCrop

Size = tuple[int, int]
Range = tuple[float, float]


def translation(x: float, y: float) -> np.ndarray:
    """Move by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> np.ndarray:
    """Scale about the corner."""
    return np.diag([x, y, 1.0])


def flip(width: float) -> np.ndarray:
    """Mirror left and right."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def affine(size: Size, degrees: float, scale: float, shear: float) -> np.ndarray:
    """Turn, scale and shear (in degrees, along x) about the centre of a picture, as torchvision's `RandomAffine`.

    Args:
        size: height and width of the picture.
    """
    turn, lean = math.radians(degrees), math.radians(shear)
    rotation = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1.0]])
    shearing = np.array([[1.0, -math.tan(lean), 0], [0, 1, 0], [0, 0, 1]])
    height, width = size
    centre, back = translation(width / 2, height / 2), translation(-width / 2, -height / 2)
    return centre @ rotation @ shearing @ scaling(scale, scale) @ back


def random_affine(size: Size, *, degrees: float = 0.0, scale: Range = (1.0, 1.0), shear: float = 0.0) -> np.ndarray:
    """`affine` by random amounts within +-degrees, the range of scale, and +-shear."""
    height, width = size
    angle, _, factor, (lean, _) = RandomAffine.get_params(
        [-degrees, degrees], None, list(scale), [-shear, shear], [width, height]
    )
    return affine(size, angle, factor, lean)


def random_flip(width: int) -> np.ndarray:
    """`flip` or nothing, with equal chances."""
    return flip(width) if torch.rand(()) < 0.5 else np.eye(3)


def random_resized_crop(size: Size, side: int, scale: Range) -> np.ndarray:
    """A random box with a share of the area within `scale` and a ratio of 3/4 to 4/3, resized to a square."""
    top, left, height, width = RandomResizedCrop.get_params(torch.empty(1, *size), list(scale), [3 / 4, 4 / 3])
    return scaling(side / width, side / height) @ translation(-left, -top)


def random_square(size: Size, side: int) -> np.ndarray:
    """The shorter side resized to `side`, then a random square of it."""
    height, width = size
    factor = side / min(size)
    spare_x, spare_y = round(width * factor) - side, round(height * factor) - side
    left, top = (int(torch.randint(spare + 1, ())) for spare in (spare_x, spare_y))
    return translation(-left, -top) @ scaling((spare_x + side) / width, (spare_y + side) / height)


def sampling_matrix(*steps: np.ndarray) -> np.ndarray:
    """Where the pixels of a view are read: view pixel index -> source pixel index, (3,3).

    Args:
        steps: what happens to the source, in order.
    """
    forward = reduce(lambda done, step: step @ done, steps)
    return translation(-0.5, -0.5) @ np.linalg.inv(forward) @ translation(0.5, 0.5)
