"""Smooth lines, marks and text on a white picture."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE = 2
FONT_SIZE = 14
WHITE = (255, 255, 255)

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Pen:
    """Draws on a canvas `SCALE` times as large as the picture; all lengths are in pixels of the picture.

    Args:
        width, height: size of the picture.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._canvas = Image.new("RGB", (width * SCALE, height * SCALE), WHITE)
        self._draw = ImageDraw.Draw(self._canvas)

    def picture(self) -> np.ndarray:
        """What has been drawn: RGB (H, W, 3), uint8."""
        return np.array(self._canvas.resize(self._size, Image.Resampling.BOX))

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1, dash: Sequence[float] = ()) -> None:
        """Connect two points or more.

        Args:
            dash: lengths of a dash and of the gap behind it; solid where empty.
        """
        for piece in _dashes(points, *dash) if dash else [points]:
            scaled = [(x * SCALE, y * SCALE) for x, y in piece]
            self._draw.line(scaled, colour, round(width * SCALE), joint="curve")

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Fill a rectangle."""
        self._draw.rectangle([left * SCALE, top * SCALE, right * SCALE - 1, bottom * SCALE - 1], fill)

    def text(self, x: float, y: float, text: str, colour: Colour, anchor: str = "lm") -> None:
        """Write a line of text; `anchor` as in Pillow, by default the middle of its left side."""
        self._draw.text((x * SCALE, y * SCALE), text, colour, font=_font(), anchor=anchor)

    def disk(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        self._draw.ellipse(_box(x, y, radius), colour)

    def ring(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A circle."""
        self._draw.ellipse(_box(x, y, radius), outline=colour, width=_stroke(radius))

    def triangle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled triangle with its tip at the top."""
        left, top, right, bottom = _box(x, y, radius)
        self._draw.polygon([(left, bottom), (right, bottom), (x * SCALE, top)], colour)

    def cross(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Two diagonal strokes."""
        left, top, right, bottom = _box(x, y, 0.9 * radius)
        for stroke in ([(left, top), (right, bottom)], [(left, bottom), (right, top)]):
            self._draw.line(stroke, colour, _stroke(radius))


def text_width(text: str) -> float:
    """Width of a line of text, in pixels of the picture."""
    return _font().getlength(text) / SCALE


def readable(colour: Sequence[int], most: float = 0.25) -> Colour:
    """A colour (0..255) darkened until its luminance is at most `most` of white's, so that it shows on white."""
    linear = (np.asarray(colour) / 255) ** 2.2
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    red, green, blue = 255 * (linear * min(1, most / max(luminance, 1e-6))) ** (1 / 2.2)
    return round(red), round(green), round(blue)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=FONT_SIZE * SCALE)


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return (x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE


def _stroke(radius: float) -> int:
    return max(1, round(0.4 * radius * SCALE))


def _dashes(points: Sequence[Point], dash: float, gap: float) -> list[list[Point]]:
    """The pieces of a polyline that a dash pattern leaves."""
    pieces: list[list[Point]] = [[points[0]]]
    drawn, left = True, dash
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        done = 0.0
        while length - done > left:
            done += left
            corner = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if drawn:
                pieces[-1].append(corner)
            else:
                pieces.append([corner])
            drawn = not drawn
            left = dash if drawn else gap
        left -= length - done
        if drawn:
            pieces[-1].append((x1, y1))
    return [piece for piece in pieces if len(piece) > 1]
