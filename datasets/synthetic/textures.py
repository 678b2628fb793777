"""Random textures by formula and noise: fractal clouds, stripes, checks, spots, cells, strokes and patchworks."""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

RAMP_LEVELS = 256
COARSE_STEP = 8.0
COLOUR_ATTEMPTS = 6
COLOUR_GAP = 40.0


@dataclass(frozen=True)
class Look:
    """What textures of one family have in common.

    Attributes:
        pattern: name out of `PATTERNS`.
        hue: main hue, in [0, 1).
        ramp: colours (256, 3), float32 in [0, 255], that the pattern's values are mapped to.
    """

    pattern: str
    hue: float
    ramp: np.ndarray


def draw_look(rng: Generator, hues: Sequence[float] = (), avoid: np.ndarray | None = None) -> Look:
    """A random look.

    Args:
        hues: hues that the look now and then takes up.
        avoid: RGB (3,) from which the look's mean colour keeps a distance if a few draws bring one.
    """
    pattern = str(rng.choice(list(PATTERNS)))
    for _ in range(COLOUR_ATTEMPTS):
        hue = float(rng.random())
        if len(hues) and rng.random() < 0.35:
            hue = float(rng.choice(hues) + rng.normal(0, 0.03)) % 1.0
        ramp = _colour_ramp(rng, hue)
        if avoid is None or np.linalg.norm(ramp.mean(axis=0) - avoid) > COLOUR_GAP:
            break
    return Look(pattern, hue, ramp)


def _colour_ramp(rng: Generator, hue: float) -> np.ndarray:
    """A ramp through two to four colours around a hue, seldom with an accent of another one."""
    count = int(rng.integers(2, 5))
    tint = rng.beta(1.3, 1.8)
    stops = []
    for value in rng.uniform(0.12, 1.0, count):
        stop_hue = rng.random() if rng.random() < 0.15 else hue + rng.normal(0, 0.05)
        saturation = float(np.clip(tint + rng.normal(0, 0.12), 0, 1))
        stops.append(colorsys.hsv_to_rgb(stop_hue % 1.0, saturation, float(value)))
    levels, places = np.linspace(0, 1, RAMP_LEVELS), np.linspace(0, 1, count)
    ramp = [np.interp(levels, places, channel) for channel in np.array(stops).T]
    return (255 * np.stack(ramp, axis=1)).astype(np.float32)


def value_noise(rng: Generator, height: int, width: int, cell: float, octaves: int = 4) -> np.ndarray:
    """Fractal value noise (H, W), float32, stretched to [0, 1]; `cell` is the largest feature, in pixels."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = cell / 2**octave
        if step < 1.5:
            break
        total += np.float32(0.55**octave) * _smooth_grid(rng, height, width, step)
    return _stretch(total)


def _smooth_grid(rng: Generator, height: int, width: int, step: float) -> np.ndarray:
    """Random values (H, W) in about [0, 1], `step` pixels apart, with smooth ones between them.

    Coarse grids are first enlarged to a few pixels per step only, where the part that is needed is cut out.
    """
    coarse = max(1.0, step / COARSE_STEP)
    part = (int(width / coarse) + 2, int(height / coarse) + 2)
    step /= coarse
    columns, rows = (int(side / step) + 3 for side in part)
    grid = rng.random((rows, columns), np.float32)
    layer = cv2.resize(grid, (int(columns * step), int(rows * step)), interpolation=cv2.INTER_CUBIC)
    left, top = rng.integers(0, int(step) + 1, 2)
    layer = layer[top : top + part[1], left : left + part[0]]
    return cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) if coarse > 1 else layer[:height, :width]


def _stretch(field: np.ndarray) -> np.ndarray:
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def _axes(rng: Generator, height: int, width: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Two rotated coordinates (H, W), in cells, bent a little by noise."""
    angle = rng.uniform(0, np.pi)
    x = np.arange(width, dtype=np.float32)[None, :] / cell
    y = np.arange(height, dtype=np.float32)[:, None] / cell
    bend = rng.choice([0.0, 0.5, 1.2]) * value_noise(rng, height, width, 4 * cell, 2)
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y + bend
    across = np.float32(np.cos(angle)) * y - np.float32(np.sin(angle)) * x + bend
    return along, across


def _cloud(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    return value_noise(rng, height, width, 1.5 * cell, 5)


def _stripes(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    along, _ = _axes(rng, height, width, cell)
    return np.clip(0.5 + rng.choice([0.5, 2.0]) * np.sin(2 * np.pi * along), 0, 1)


def _checks(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    along, across = _axes(rng, height, width, 0.7 * cell)
    parity = (np.floor(along) + np.floor(across)) % 2
    return 0.75 * parity + 0.25 * value_noise(rng, height, width, cell)


def _gradient(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    along, _ = _axes(rng, height, width, cell)
    return _stretch(_stretch(along) + 0.4 * value_noise(rng, height, width, cell))


def _spots(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    noise = value_noise(rng, height, width, cell, 2)
    return np.clip((noise - np.quantile(noise, rng.uniform(0.4, 0.75))) * 12 + 0.5, 0, 1).astype(np.float32)


def _cells(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    seeds = np.full((height, width), 255, np.uint8)
    count = max(4, int(height * width / cell**2))
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    return rng.random(count + 2, np.float32)[labels]


def _strokes(rng: Generator, height: int, width: int, cell: float) -> np.ndarray:
    canvas = np.full((height, width), 60, np.uint8)
    for _ in range(int(rng.integers(15, 50))):
        ends = (rng.random((2, 2)) * (width, height)).astype(int)
        thickness = max(1, int(cell * rng.uniform(0.08, 0.3)))
        start, end = (tuple(int(v) for v in point) for point in ends)
        cv2.line(canvas, start, end, int(rng.integers(256)), thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


PATTERNS: dict[str, Callable[[Generator, int, int, float], np.ndarray]] = {
    "cloud": _cloud,
    "stripes": _stripes,
    "checks": _checks,
    "gradient": _gradient,
    "spots": _spots,
    "cells": _cells,
    "strokes": _strokes,
}


def draw_texture(rng: Generator, height: int, width: int, look: Look, cell: float) -> np.ndarray:
    """A texture (H, W, 3), uint8 RGB, whose features are about `cell` pixels wide."""
    field = np.clip(PATTERNS[look.pattern](rng, height, width, max(cell, 3.0)), 0, 1)
    texture = look.ramp[(field * (RAMP_LEVELS - 1)).astype(np.uint8)]
    grain = value_noise(rng, height, width, max(0.5 * cell, 3.0), 5) - 0.5
    texture *= 1 + rng.uniform(0.15, 0.7) * grain[..., None]
    return np.clip(texture, 0, 255).astype(np.uint8)


def draw_patchwork(rng: Generator, height: int, width: int, looks: Sequence[Look], cell: float) -> np.ndarray:
    """Several textures side by side, with wavy borders between them; (H, W, 3), uint8 RGB."""
    texture = draw_texture(rng, height, width, looks[0], cell)
    for look in looks[1:]:
        along, _ = _axes(rng, height, width, max(height, width))
        border = _stretch(along) + rng.uniform(0.1, 0.8) * value_noise(rng, height, width, 0.5 * max(height, width), 3)
        patch = draw_texture(rng, height, width, look, cell * rng.uniform(0.5, 1.5))
        np.copyto(texture, patch, where=(border > np.quantile(border, rng.uniform(0.35, 0.75)))[..., None])
    return texture
