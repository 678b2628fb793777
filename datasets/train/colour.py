"""Changes of colour as one linear map: brightness, contrast, saturation, hue, grey, and a shift of all values."""

import math
from typing import NamedTuple

import numpy as np
import torch

GREY = np.array([0.299, 0.587, 0.114])
OPERATIONS = ("brightness", "contrast", "saturation", "hue")

Changes = tuple[tuple[str, float], ...]


class Jitter(NamedTuple):
    """Largest changes of brightness, contrast, saturation and hue, and the probability of grey."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0

    def draw(self) -> Changes:
        """Random changes in a random order, as torchvision's `ColorJitter`; grey, where drawn, comes last."""
        from torchvision.transforms import ColorJitter  # here: it takes as long to import as torch itself

        ranges = [(1 - amount, 1 + amount) for amount in self[:3]]
        order, *amounts = ColorJitter.get_params(*ranges, (-self.hue, self.hue))
        changes = tuple((OPERATIONS[i], amounts[i]) for i in order.tolist())
        return (*changes, ("saturation", 0.0)) if torch.rand(()) < self.grey else changes


def colour_map(changes: Changes) -> np.ndarray:
    """All changes as one linear map (3,7) of a pixel's RGB, the picture's mean RGB and 1, in 0..255.

    Contrast turns about the mean grey of the picture, saturation about each pixel's own grey, hue about the grey axis,
    by an angle in full turns; a shift is added to every channel. Nothing is clipped between two changes.
    """
    of_pixel, of_mean, constant = np.eye(3), np.zeros((3, 3)), np.zeros((3, 1))
    for name, amount in changes:
        if name == "shift":
            constant = constant + amount
            continue
        if name == "contrast":
            mean_grey = np.tile(GREY @ (of_pixel + of_mean), (3, 1))
            of_pixel, of_mean = amount * of_pixel, amount * of_mean + (1 - amount) * mean_grey
            constant = amount * constant + (1 - amount) * (GREY @ constant)
            continue
        if name == "brightness":
            step = amount * np.eye(3)
        elif name == "saturation":
            step = amount * np.eye(3) + (1 - amount) * np.tile(GREY, (3, 1))
        else:
            step = _turn_about_grey(2 * math.pi * amount)
        of_pixel, of_mean, constant = step @ of_pixel, step @ of_mean, step @ constant
    return np.hstack([of_pixel, of_mean, constant])


def _turn_about_grey(angle: float) -> np.ndarray:
    """Rotation (3,3) of RGB about the axis of equal channels (Rodrigues' formula)."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5
    return math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * np.outer(axis, axis)
