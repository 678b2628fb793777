"""Maps from the pixels of an augmented view to the pixels of its source, as matrices.

A matrix (3,3) acts on homogeneous points (x, y, 1) in pixels, with the corner of the picture at (0, 0) and the centre
of its first pixel at (0.5, 0.5). The functions here go from source to view; `sampling_matrix` turns a chain of
them round.
"""

import math
from functools import reduce

import numpy as np
import torch

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


def transposition() -> np.ndarray:
    """Rows become columns."""
    return np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def affine(size: Size, degrees: float, scale: float, shear: float, shear_y: float = 0.0) -> np.ndarray:
    """Scale, shear (in degrees, along x, then along y) and turn about a picture's centre, as torchvision.

    Args:
        size: height and width of the picture.
    """
    turn, lean, lean_y = math.radians(degrees), math.radians(shear), math.radians(shear_y)
    rotation = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1.0]])
    along_x = np.array([[1.0, -math.tan(lean), 0], [0, 1, 0], [0, 0, 1]])
    along_y = np.array([[1.0, 0, 0], [-math.tan(lean_y), 1, 0], [0, 0, 1]])
    height, width = size
    centre, back = translation(width / 2, height / 2), translation(-width / 2, -height / 2)
    return centre @ rotation @ along_y @ along_x @ scaling(scale, scale) @ back


def random_affine(
    size: Size, *, degrees: float = 0.0, scale: Range = (1.0, 1.0), shear: float = 0.0, shear_y: float = 0.0
) -> np.ndarray:
    """`affine` by random amounts within +-degrees, the range of scale, +-shear and +-shear_y."""
    from torchvision.transforms import RandomAffine  # here: it takes as long to import as torch itself

    height, width = size
    shears = [-shear, shear] + ([-shear_y, shear_y] if shear_y else [])
    angle, _, factor, leans = RandomAffine.get_params([-degrees, degrees], None, list(scale), shears, [width, height])
    return affine(size, angle, factor, *leans)


def random_flip(width: int) -> np.ndarray:
    """`flip` or nothing, with equal chances."""
    return flip(width) if torch.rand(()) < 0.5 else np.eye(3)


def random_resized_crop(size: Size, canvas: Size, scale: Range) -> np.ndarray:
    """A random box with a share of the area within `scale`, resized to the canvas.

    Its ratio of width to height is 3/4 to 4/3 times that of the canvas.
    """
    from torchvision.transforms import RandomResizedCrop

    ratio = canvas[1] / canvas[0]
    top, left, height, width = RandomResizedCrop.get_params(
        torch.empty(1, *size), list(scale), [3 / 4 * ratio, 4 / 3 * ratio]
    )
    return scaling(canvas[1] / width, canvas[0] / height) @ translation(-left, -top)


def random_cover(size: Size, canvas: Size) -> np.ndarray:
    """The picture resized to cover the canvas tightly, in proportion, then a random part of it."""
    height, width = size
    factor = max(canvas[0] / height, canvas[1] / width)
    spare_x, spare_y = round(width * factor) - canvas[1], round(height * factor) - canvas[0]
    left, top = (int(torch.randint(spare + 1, ())) for spare in (spare_x, spare_y))
    return translation(-left, -top) @ scaling((spare_x + canvas[1]) / width, (spare_y + canvas[0]) / height)


def random_margins(size: Size, share: float) -> np.ndarray:
    """Each side cut by up to a share of the picture, then resized to the old size."""
    height, width = size
    left, right, top, bottom = torch.empty(4).uniform_(0, share).tolist()
    return scaling(1 / (1 - left - right), 1 / (1 - top - bottom)) @ translation(-left * width, -top * height)


def letterbox(size: Size, canvas: Size) -> np.ndarray:
    """The picture resized to fit into the canvas, in proportion, and centred; rounded down as in STM-Cycle."""
    height, width = size
    inner_height, inner_width = min((canvas[0], width * canvas[0] // height), (height * canvas[1] // width, canvas[1]))
    left, top = (canvas[1] - inner_width) // 2, (canvas[0] - inner_height) // 2
    return translation(left, top) @ scaling(inner_width / width, inner_height / height)


def sampling_matrix(*steps: np.ndarray) -> np.ndarray:
    """Where the pixels of a view are read: view pixel index -> source pixel index, (3,3).

    Args:
        steps: what happens to the source, in order.
    """
    forward = reduce(lambda done, step: step @ done, steps)
    return translation(-0.5, -0.5) @ np.linalg.inv(forward) @ translation(0.5, 0.5)
