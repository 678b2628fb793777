"""Augmentation of training clips, as published for MiVOS (CVPR 2021), QDMN (ECCV 2022) and STM-Cycle (NeurIPS 2020).

What happens to a frame is drawn first, as a `View`: one matrix, one elastic warp, one list of colour changes. It is
carried out in one resampling (`datasets.train.render`). The published code resamples up to three times and paints what
an intermediate picture does not hold in its fill colour; here such places show the picture. Every draw comes from
torch's default generator.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from datasets.train.colour import Jitter, colour_map
from datasets.train.geometry import (
    Size,
    affine,
    letterbox,
    random_affine,
    random_cover,
    random_flip,
    random_margins,
    random_resized_crop,
    sampling_matrix,
    transposition,
)
from datasets.train.tps import draw_control_points, pixel_map

WARP_PROBABILITY = 0.33
MEAN_COLOUR = (124, 116, 104)
BLACK = (0, 0, 0)


@dataclass(frozen=True)
class View:
    """How one frame of a clip is made.

    Attributes:
        size: height H' and width W' of the view, in pixels.
        matrix: (3,3), pixel index of the view -> pixel index of the source.
        warp: (H',W',2) float32, pixel index (x, y) that is read before the matrix applies; None for no warp.
        colour: (3,7), see `colour_map`.
        fill: RGB in 0..255 of what lies outside the source, before the colour changes.
    """

    size: Size
    matrix: np.ndarray
    warp: np.ndarray | None
    colour: np.ndarray
    fill: tuple[int, int, int] = MEAN_COLOUR


def static_views(size: Size, count: int, canvas: Size, zoom: float = 1.0) -> list[View]:
    """Views of one picture that imitate the motion of a camera and of a deforming object.

    Args:
        size: height and width of the picture.
        count: number of views.
        canvas: height and width of the views.
        zoom: see `camera_zoom`.
    """
    shared = (random_affine(size, scale=(0.8, 1.5)), random_flip(size[1]))
    colour = Jitter(brightness=0.1, contrast=0.05, saturation=0.05, hue=0.05, grey=0.05).draw()
    jitter = Jitter(brightness=0.1, contrast=0.05, saturation=0.05)
    views = []
    for camera in camera_zoom(canvas, count, zoom):
        own = random_affine(size, degrees=20, scale=(0.9, 1.1), shear=10)
        matrix = sampling_matrix(*shared, own, random_cover(size, canvas), camera)
        views.append(View(canvas, matrix, _random_warp(canvas), colour_map(colour + jitter.draw())))
    return views


def video_views(
    size: Size, count: int, canvas: Size = (384, 384), min_scale: float = 0.36, zoom: float = 1.0
) -> list[View]:
    """One crop for the whole clip, then a small affine map and a slight change of colour for each frame (MiVOS, QDMN).

    Args:
        size: height and width of the frames.
        count: number of frames.
        canvas: height and width of the views.
        min_scale: smallest share of the frame's area that the crop keeps (0.36; BL30K 0.25).
        zoom: see `camera_zoom`.
    """
    shared = (random_flip(size[1]), random_resized_crop(size, canvas, (min_scale, 1.0)))
    colour = Jitter(brightness=0.1, contrast=0.03, saturation=0.03, grey=0.05).draw()
    jitter = Jitter(brightness=0.01, contrast=0.01, saturation=0.01)
    views = []
    for camera in camera_zoom(canvas, count, zoom):
        own = random_affine(canvas, degrees=15, shear=10)
        views.append(View(canvas, sampling_matrix(*shared, own, camera), None, colour_map(colour + jitter.draw())))
    return views


def letterboxed_views(size: Size, count: int, canvas: Size = (240, 427)) -> list[View]:
    """The same view of all frames: most of the frame, upright frames laid down, fitted into the canvas (STM-Cycle).

    What lies outside the frame is black, before the change of colour. The published code blackens all of the canvas
    beside the fitted frame, and does not cut values off at 0 and 255.

    Args:
        size: height and width of the frames.
        count: number of frames.
        canvas: height and width of the views.
    """
    height, width = size
    upright = height > width
    lying = (width, height) if upright else size
    matrix = sampling_matrix(
        transposition() if upright else np.eye(3),
        random_margins(lying, 0.1),
        random_affine(lying, degrees=15, scale=(0.95, 1.05), shear=10, shear_y=10),
        random_flip(lying[1]),
        letterbox(lying, canvas),
    )
    factor, shift = (float(torch.empty(()).uniform_(*limits)) for limits in ((0.97, 1.03), (-5, 5)))
    return [View(canvas, matrix, None, colour_map((("brightness", factor), ("shift", shift))), BLACK)] * count


def camera_zoom(canvas: Size, count: int, most: float) -> list[np.ndarray]:
    """Matrices (3,3), one for each view of a clip, that move a camera towards the picture's middle or away.

    Args:
        canvas: height and width of the views.
        count: number of views.
        most: largest factor between the first and the last view, either way; 1 for a camera that stays.
    """
    if most == 1:
        return [np.eye(3)] * count
    speed = math.log(most) * float(torch.empty(()).uniform_(-1, 1)) / max(count - 1, 1)
    return [affine(canvas, 0.0, math.exp(speed * number), 0.0) for number in range(count)]


def _random_warp(canvas: Size) -> np.ndarray | None:
    if torch.rand(()) >= WARP_PROBABILITY:
        return None
    return pixel_map(*draw_control_points(*canvas), *canvas, spacing=4).numpy()
