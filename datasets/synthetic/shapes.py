"""Random closed shapes, held as signed distance maps: blobs, polygons, rings and bodies with limbs."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

RASTER = 384
FAR_OUTSIDE = -4.0


@dataclass(frozen=True)
class Shape:
    """A shape on the square [-1, 1] x [-1, 1].

    Attributes:
        distance: (S, S) float32, distance to the contour in units of the square, positive inside.
        area: inside area, in units of the square (the whole square has area 4).
        reach: distance from the centre of the square to the farthest point of the shape.
    """

    distance: np.ndarray
    area: float
    reach: float


def draw_shape(rng: Generator, kind: str, size: int) -> Shape:
    """A random shape of a kind out of `SHAPE_KINDS`, sampled on size x size points."""
    mask = np.zeros((RASTER, RASTER), np.uint8)
    SHAPE_KINDS[kind](rng, mask)
    if kind not in ("ring", "crescent") and rng.random() < 0.12:
        _fill(mask, 0.13 * _fourier_contour(rng, 0.2) + rng.uniform(-0.15, 0.15, 2), 0)
    unit = 2.0 / RASTER
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    rows, columns = np.nonzero(mask)
    reach = float(np.hypot(rows - RASTER / 2, columns - RASTER / 2).max()) * unit
    small = cv2.resize(distance * np.float32(unit), (size, size), interpolation=cv2.INTER_AREA)
    return Shape(distance=small, area=float(rows.size) * unit**2, reach=reach)


def _fill(mask: np.ndarray, contour: np.ndarray, value: int = 1) -> None:
    """Fill a contour (N, 2) of the unit square in place."""
    points = np.round((contour + 1) * (0.5 * RASTER)).astype(np.int32)
    cv2.fillPoly(mask, [points], value)


def _angles(count: int) -> np.ndarray:
    return np.linspace(0, 2 * np.pi, count, endpoint=False)


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _fourier_contour(rng: Generator, roughness: float) -> np.ndarray:
    """A closed contour (N, 2) of largest radius 1 whose radius is a random Fourier series of the angle."""
    angle = _angles(240)
    radius = np.ones_like(angle)
    for order in range(2, 8):
        amplitude = roughness * rng.normal() / (order - 1)
        radius += amplitude * np.sin(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.3)
    return _polar(radius / radius.max(), angle)


def _blob(rng: Generator, mask: np.ndarray) -> None:
    stretch = np.array([1.0, rng.uniform(0.6, 1.0)])
    _fill(mask, 0.78 * stretch * _fourier_contour(rng, rng.uniform(0.1, 0.35)))


def _superellipse(rng: Generator, mask: np.ndarray) -> None:
    angle, power = _angles(240), rng.choice([0.35, 0.7, 1.0, 1.0])
    cosine, sine = np.cos(angle), np.sin(angle)
    x = np.sign(cosine) * np.abs(cosine) ** power
    y = np.sign(sine) * np.abs(sine) ** power * rng.uniform(0.4, 1.0)
    _fill(mask, 0.62 * np.stack([x, y], axis=1))


def _polygon(rng: Generator, mask: np.ndarray) -> None:
    count = int(rng.integers(3, 9))
    angle = _angles(count) + rng.uniform(-0.25, 0.25, count) * 2 * np.pi / count
    _fill(mask, 0.78 * _polar(rng.uniform(0.65, 1.0, count), angle))


def _star(rng: Generator, mask: np.ndarray) -> None:
    points = int(rng.integers(4, 8))
    radius = np.where(np.arange(2 * points) % 2 == 0, 1.0, rng.uniform(0.4, 0.65))
    _fill(mask, 0.82 * _polar(radius, _angles(2 * points)))


def _ring(rng: Generator, mask: np.ndarray) -> None:
    contour = _fourier_contour(rng, 0.1)
    _fill(mask, 0.78 * contour)
    _fill(mask, 0.78 * rng.uniform(0.3, 0.55) * contour, 0)


def _crescent(rng: Generator, mask: np.ndarray) -> None:
    circle = _polar(np.ones(120), _angles(120))
    _fill(mask, 0.75 * circle)
    _fill(mask, rng.uniform(0.4, 0.55) * circle + (rng.uniform(0.45, 0.6), 0.0), 0)


def _creature(rng: Generator, mask: np.ndarray) -> None:
    """A trunk with a head and two to five limbs."""
    trunk = np.array([rng.uniform(0.3, 0.45), rng.uniform(0.22, 0.34)])
    _fill(mask, trunk * _fourier_contour(rng, 0.15))
    limbs = int(rng.integers(3, 7))
    angle = _angles(limbs) + rng.uniform(-0.3, 0.3, limbs)
    for number, direction in enumerate(_polar(np.ones(limbs), angle)):
        elbow, end = 0.45 * direction, rng.uniform(0.6, 0.78) * direction + rng.uniform(-0.12, 0.12, 2)
        path = np.round((np.stack([0 * direction, elbow, end]) + 1) * (0.5 * RASTER)).astype(np.int32)
        cv2.polylines(mask, [path], isClosed=False, color=1, thickness=int(RASTER * rng.uniform(0.06, 0.1)))
        if number == 0:
            _fill(mask, rng.uniform(0.16, 0.22) * _fourier_contour(rng, 0.1) + 0.62 * direction)


SHAPE_KINDS: dict[str, Callable[[Generator, np.ndarray], None]] = {
    "blob": _blob,
    "superellipse": _superellipse,
    "polygon": _polygon,
    "star": _star,
    "ring": _ring,
    "crescent": _crescent,
    "creature": _creature,
}
KIND_WEIGHTS = (0.3, 0.15, 0.15, 0.08, 0.06, 0.06, 0.2)


def draw_kind(rng: Generator) -> str:
    """The name of a shape kind; plain bodies are drawn more often than rings and stars."""
    return str(rng.choice(list(SHAPE_KINDS), p=KIND_WEIGHTS))
