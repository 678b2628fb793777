"""Augmentation of training clips, as published for QDMN (ECCV 2022) and its predecessor MiVOS.

What happens to a frame is drawn first, as a `View`: one matrix, one elastic warp, one list of colour changes. It is
carried out in one resampling (`datasets.render`). The published code resamples up to three times and paints what an
intermediate picture does not hold in its fill colour; here such places show the picture. Every draw comes from
torch's default generator.
"""

from dataclasses import dataclass

import numpy as np
import torch

from datasets.colour import Jitter, colour_map
from datasets.geometry import (
    Size,
    random_affine,
    random_flip,
    random_resized_crop,
    random_square,
    sampling_matrix,
)
from datasets.tps import draw_control_points, pixel_map

WARP_PROBABILITY = 0.33


@dataclass(frozen=True)
class View:
    """How one frame of a clip is made.

    Attributes:
        side: of the square view, in pixels.
        matrix: (3,3), pixel index of the view -> pixel index of the source.
        warp: (S,S,2) float32, pixel index (x, y) that is read before the matrix applies; None for no warp.
        colour: (3,6), see `colour_map`.
    """

    side: int
    matrix: np.ndarray
    warp: np.ndarray | None
    colour: np.ndarray


def static_views(size: Size, side: int, count: int) -> list[View]:
    """Views of one picture that imitate the motion of a camera and of a deforming object.

    Args:
        size: height and width of the picture.
        side: of the square views, in pixels.
        count: number of views.
    """
    shared = (random_affine(size, scale=(0.8, 1.5)), random_flip(size[1]))
    colour = Jitter(brightness=0.1, contrast=0.05, saturation=0.05, hue=0.05, grey=0.05).draw()
    jitter = Jitter(brightness=0.1, contrast=0.05, saturation=0.05)
    views = []
    for _ in range(count):
        own = random_affine(size, degrees=20, scale=(0.9, 1.1), shear=10)
        matrix = sampling_matrix(*shared, own, random_square(size, side))
        views.append(View(side, matrix, _random_warp(side), colour_map(colour + jitter.draw())))
    return views


def video_views(size: Size, side: int, count: int, min_scale: float) -> list[View]:
    """One crop for the whole clip, then a small affine map and a slight change of colour for each frame.

    Args:
        size: height and width of the frames.
        side: of the square views, in pixels.
        count: number of frames.
        min_scale: smallest share of the frame's area that the crop keeps (0.36; BL30K 0.25).
    """
    shared = (random_flip(size[1]), random_resized_crop(size, side, (min_scale, 1.0)))
    colour = Jitter(brightness=0.1, contrast=0.03, saturation=0.03, grey=0.05).draw()
    jitter = Jitter(brightness=0.01, contrast=0.01, saturation=0.01)
    views = []
    for _ in range(count):
        own = random_affine((side, side), degrees=15, shear=10)
        views.append(View(side, sampling_matrix(*shared, own), None, colour_map(colour + jitter.draw())))
    return views


def _random_warp(side: int) -> np.ndarray | None:
    if torch.rand(()) >= WARP_PROBABILITY:
        return None
    return pixel_map(*draw_control_points(side, side), side, side, spacing=4).numpy()
