"""Time per frame and peak memory over the length of a video, drawn."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from util.chart import LEGEND_ROW, SWATCH, TEXT, Axis, LegendItem, draw_legend, wrap_legend
from util.files import atomic_path
from util.palette import voc_palette
from util.pen import Colour, Pen, readable

PANEL_WIDTH, PANEL_HEIGHT, MARGIN, GUTTER, AXIS_HEIGHT = 420, 260, 14, 64, 44
LEVELS = 4
LINE_WIDTH = 2.0

Curve = Sequence[tuple[float, float]]


def draw_stream(path: Path, times: Mapping[str, Curve], peaks: Mapping[str, Curve]) -> None:
    """Write the picture.

    Args:
        path: of the PNG.
        times: (frame, milliseconds) for each video.
        peaks: (frames of the video, MB) for each number of objects; a name of both is one colour.
    """
    names = list(dict.fromkeys((*times, *peaks)))
    colours = {name: readable(voc_palette()[1 + k]) for k, name in enumerate(names)}
    width = MARGIN + 2 * (GUTTER + PANEL_WIDTH)
    legend = wrap_legend([LegendItem(_sample, colours[name], name) for name in names], width - GUTTER - MARGIN)
    top = MARGIN + (len(legend) + 1) * LEGEND_ROW
    pen = Pen(width, top + PANEL_HEIGHT + AXIS_HEIGHT + MARGIN)
    draw_legend(pen, legend, GUTTER, MARGIN)
    _draw_panel(pen, GUTTER, top, "milliseconds per frame", "frame", times, colours.__getitem__)
    left = 2 * GUTTER + PANEL_WIDTH
    _draw_panel(pen, left, top, "peak memory, MB", "frames of the video", peaks, colours.__getitem__)
    with atomic_path(path) as temporary:
        Image.fromarray(pen.picture()).save(temporary, format="PNG")


def _draw_panel(
    pen: Pen, left: int, top: int, title: str, unit: str, curves: Mapping[str, Curve], colour: Callable[[str], Colour]
) -> None:
    bottom = top + PANEL_HEIGHT
    points = np.array([point for curve in curves.values() for point in curve])
    highest = 1.2 * points[:, 1].max()
    axis = Axis(0, round(points[:, 0].max()), left, left + PANEL_WIDTH)
    axis.draw_grid(pen, top, bottom)
    for level in range(LEVELS + 1):
        value = highest * level / LEVELS
        axis.draw_level(pen, bottom - PANEL_HEIGHT * level / LEVELS, f"{value:.0f}")
    for name, curve in curves.items():
        pen.line([(axis.x(x), bottom - PANEL_HEIGHT * y / highest) for x, y in curve], colour(name), LINE_WIDTH)
    middle = left + PANEL_WIDTH / 2
    pen.text(middle, top - LEGEND_ROW / 2, title, TEXT, "mm")
    axis.draw_labels(pen, bottom + AXIS_HEIGHT / 3, "")
    pen.text(middle, bottom + AXIS_HEIGHT * 0.8, unit, TEXT, "mm")


def _sample(pen: Pen, x: float, y: float, colour: Colour) -> None:
    pen.line([(x - SWATCH / 2, y), (x + SWATCH / 2, y)], colour, LINE_WIDTH)
