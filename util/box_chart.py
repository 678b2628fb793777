"""Success and precision curves of trackers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from util.box_scores import IOU_THRESHOLDS, PIXEL_THRESHOLDS, RELATIVE_THRESHOLDS, BoxScores
from util.chart import LEGEND_ROW, SWATCH, TEXT, Axis, LegendItem, draw_legend, wrap_legend
from util.palette import voc_palette
from util.pen import Colour, Pen, readable

PANEL_WIDTH, PANEL_HEIGHT, MARGIN, GUTTER, AXIS_HEIGHT = 380, 300, 14, 52, 44
LINE_WIDTH = 2.0
LEVELS = (0, 20, 40, 60, 80, 100)


@dataclass(frozen=True)
class _Panel:
    """Curves over thresholds; `unit` is that of the whole numbers on the axis."""

    title: str
    unit: str
    thresholds: np.ndarray
    curves: Sequence[np.ndarray]


def draw_curves(scores: Sequence[BoxScores]) -> np.ndarray:
    """Draw the success curves of trackers, and their precision curves where the benchmark has them.

    Args:
        scores: one for each tracker, all by the same rules.

    Returns:
        The picture as RGB (H, W, 3), uint8.
    """
    success = [score.success for score in scores]
    panels = [_Panel("success", "IoU above, in %", IOU_THRESHOLDS * 100, success)]
    if not scores[0].rules.pooled:
        pixels = [score.precision for score in scores]
        relative = [score.normalised_precision for score in scores]
        panels.append(_Panel("precision", "distance of centres up to, in pixels", PIXEL_THRESHOLDS, pixels))
        panels.append(_Panel("normalised precision", "up to, in % of the size", RELATIVE_THRESHOLDS * 100, relative))
    width = MARGIN + len(panels) * (GUTTER + PANEL_WIDTH)
    colours = [readable(colour) for colour in voc_palette()[1 + np.arange(len(scores)) % 255]]
    items = [LegendItem(_sample, colour, score.label) for score, colour in zip(scores, colours, strict=True)]
    legend = wrap_legend(items, width - GUTTER - MARGIN)
    top = MARGIN + len(legend) * LEGEND_ROW + LEGEND_ROW
    pen = Pen(width, top + PANEL_HEIGHT + AXIS_HEIGHT + MARGIN)
    draw_legend(pen, legend, GUTTER, MARGIN)
    for place, panel in enumerate(panels):
        left = GUTTER + place * (GUTTER + PANEL_WIDTH)
        _draw_panel(pen, left, top, panel, colours)
    return pen.picture()


def _draw_panel(pen: Pen, left: int, top: int, panel: _Panel, colours: Sequence[Colour]) -> None:
    bottom = top + PANEL_HEIGHT
    axis = Axis(0, round(float(panel.thresholds[-1])), left, left + PANEL_WIDTH)
    axis.draw_grid(pen, top, bottom)
    for level in LEVELS:
        axis.draw_level(pen, bottom - PANEL_HEIGHT * level / 100, str(level))
    for curve, colour in zip(panel.curves, colours, strict=True):
        if not np.isnan(curve).any():
            points = [(axis.x(t), bottom - PANEL_HEIGHT * y) for t, y in zip(panel.thresholds, curve, strict=True)]
            pen.line(points, colour, LINE_WIDTH)
    middle = left + PANEL_WIDTH / 2
    pen.text(middle, top - LEGEND_ROW / 2, f"{panel.title}: % of frames", TEXT, "mm")
    axis.draw_labels(pen, bottom + AXIS_HEIGHT / 3, "")
    pen.text(middle, bottom + AXIS_HEIGHT * 0.8, panel.unit, TEXT, "mm")


def _sample(pen: Pen, x: float, y: float, colour: Colour) -> None:
    pen.line([(x - SWATCH / 2, y), (x + SWATCH / 2, y)], colour, LINE_WIDTH)
