"""What a person says about an object on a frame, as it is sent, kept and painted.

Clicks, strokes and boxes go to the network (`model.interactive`); painting and polygons change pixels as they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from model.interactive import Box, Click, Stroke

MOST_POINTS = 5000
FURTHEST = 1 << 20  # pixels
LARGEST_RADIUS = 1000.0
FRACTION = 4  # binary digits behind the point that OpenCV draws with

Point = tuple[float, float]


@dataclass(frozen=True)
class Paint:
    """Pixels `radius` to either side of a line through points (x, y) are given to the object, or taken from it."""

    points: tuple[Point, ...]
    positive: bool = True
    radius: float = 5.0

    def draw(self, mask: np.ndarray) -> None:
        """Change a mask (H, W), uint8 in {0, 1}, in place."""
        points = _fixed(self.points)
        radius = max(1, round(self.radius * (1 << FRACTION)))
        for point in (points[0], points[-1]):
            cv2.circle(mask, point.tolist(), radius, int(self.positive), -1, shift=FRACTION)
        if len(points) > 1:
            cv2.polylines(
                mask, [points[:, None]], False, int(self.positive), max(1, round(2 * self.radius)), 8, FRACTION
            )


@dataclass(frozen=True)
class Polygon:
    """Pixels within corners (x, y) are given to the object, or taken from it."""

    points: tuple[Point, ...]
    positive: bool = True

    def draw(self, mask: np.ndarray) -> None:
        """Change a mask (H, W), uint8 in {0, 1}, in place."""
        cv2.fillPoly(mask, [_fixed(self.points)[:, None]], int(self.positive), cv2.LINE_8, FRACTION)


Prompt = Click | Stroke | Box | Paint | Polygon
KINDS: dict[str, type[Any]] = {"click": Click, "stroke": Stroke, "box": Box, "paint": Paint, "polygon": Polygon}


def _fixed(points: Sequence[Point]) -> np.ndarray:
    """Points as OpenCV draws them, whose first pixel's centre is at (0, 0)."""
    return np.round((np.array(points, np.float64) - 0.5) * (1 << FRACTION)).astype(np.int32)


def to_json(prompt: Prompt) -> dict[str, Any]:
    """The prompt as `from_json` reads it."""
    kind = next(name for name, kind in KINDS.items() if type(prompt) is kind)
    return {"kind": kind, **asdict(prompt)}


def from_json(given: Any) -> Prompt:
    """A prompt that somebody sent.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str) or given["kind"] not in KINDS:
        raise ValueError(f"a prompt has a kind, one of {', '.join(KINDS)}")
    kind = KINDS[given["kind"]]
    if kind is Box:
        return Box(*(_number(given.get(name), name) for name in ("x0", "y0", "x1", "y1")))
    positive = given.get("positive", True)
    if not isinstance(positive, bool):
        raise ValueError("positive is true or false")
    if kind is Click:
        return Click(_number(given.get("x"), "x"), _number(given.get("y"), "y"), positive)
    points = _points(given.get("points"), least=3 if kind is Polygon else 1)
    if kind is Polygon:
        return Polygon(points, positive)
    radius = _number(given.get("radius", 5.0), "radius")
    if not 0 < radius <= LARGEST_RADIUS:
        raise ValueError(f"radius lies between 0 and {LARGEST_RADIUS:g}")
    return kind(points, positive, radius)


def _points(given: Any, least: int) -> tuple[Point, ...]:
    if not isinstance(given, list | tuple) or not least <= len(given) <= MOST_POINTS:
        raise ValueError(f"points are {least} to {MOST_POINTS} pairs of numbers")
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
        raise ValueError("each of the points is a pair of numbers")
    return tuple((_number(x, "x"), _number(y, "y")) for x, y in given)


def _number(given: Any, name: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError(f"{name} is a number")
    if abs(given) > FURTHEST:
        raise ValueError(f"{name} lies far outside of any frame")
    return float(given)


def scaled(prompts: Sequence[Prompt], x: float, y: float) -> list[Click | Stroke | Box]:
    """Those of the prompts that the network takes, with coordinates multiplied for a frame of another size."""
    found: list[Click | Stroke | Box] = []
    for prompt in prompts:
        if isinstance(prompt, Click):
            found.append(Click(prompt.x * x, prompt.y * y, prompt.positive))
        elif isinstance(prompt, Stroke):
            points = tuple((px * x, py * y) for px, py in prompt.points)
            found.append(Stroke(points, prompt.positive, prompt.radius * (x + y) / 2))
        elif isinstance(prompt, Box):
            found.append(Box(prompt.x0 * x, prompt.y0 * y, prompt.x1 * x, prompt.y1 * y))
    return found
