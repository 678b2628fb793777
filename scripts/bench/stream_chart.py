"""Time per frame and peak memory over the length of a video, drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from util.chart import LEGEND_ROW, LegendItem, draw_legend, wrap_legend
from util.files import atomic_path
from util.line_panel import AXIS_HEIGHT, LinePanel, line_sample
from util.palette import voc_palette
from util.pen import Pen, readable

PANEL_WIDTH, PANEL_HEIGHT, MARGIN, GUTTER = 420, 260, 14, 64
LEVELS = 4

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
    legend = wrap_legend([LegendItem(line_sample, colours[name], name) for name in names], width - GUTTER - MARGIN)
    top = MARGIN + (len(legend) + 1) * LEGEND_ROW
    pen = Pen(width, top + PANEL_HEIGHT + AXIS_HEIGHT + MARGIN)
    draw_legend(pen, legend, GUTTER, MARGIN)
    panels = (("milliseconds per frame", "frame", times), ("peak memory, MB", "frames of the video", peaks))
    for place, (title, unit, curves) in enumerate(panels):
        points = np.array([point for curve in curves.values() for point in curve])
        highest = 1.2 * points[:, 1].max()
        shown = [(curve, colours[name]) for name, curve in curves.items()]
        panel = LinePanel(title, unit, shown, round(points[:, 0].max()), highest, np.linspace(0, highest, LEVELS + 1))
        panel.draw(pen, GUTTER + place * (GUTTER + PANEL_WIDTH), top, PANEL_WIDTH, PANEL_HEIGHT)
    with atomic_path(path) as temporary:
        Image.fromarray(pen.picture()).save(temporary, format="PNG")
