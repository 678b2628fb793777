"""Success and precision curves of trackers."""

from collections.abc import Sequence

import numpy as np

from util.box_scores import IOU_THRESHOLDS, PIXEL_THRESHOLDS, RELATIVE_THRESHOLDS, BoxScores
from util.chart import LEGEND_ROW, LegendItem, draw_legend, wrap_legend
from util.line_panel import AXIS_HEIGHT, LinePanel, line_sample
from util.palette import voc_palette
from util.pen import Pen, readable

PANEL_WIDTH, PANEL_HEIGHT, MARGIN, GUTTER = 380, 300, 14, 52
LEVELS = (0, 20, 40, 60, 80, 100)


def draw_curves(scores: Sequence[BoxScores]) -> np.ndarray:
    """Draw the success curves of trackers, and their precision curves where the benchmark has them.

    Args:
        scores: one for each tracker, all by the same rules.

    Returns:
        The picture as RGB (H, W, 3), uint8.
    """
    colours = [readable(colour) for colour in voc_palette()[1 + np.arange(len(scores)) % 255]]

    def panel(title: str, unit: str, thresholds: np.ndarray, curves: Sequence[np.ndarray]) -> LinePanel:
        shown = [
            (list(zip(thresholds, 100 * curve, strict=True)), colour)
            for curve, colour in zip(curves, colours, strict=True)
            if not np.isnan(curve).any()
        ]
        return LinePanel(f"{title}: % of frames", unit, shown, round(float(thresholds[-1])), 100, LEVELS)

    panels = [panel("success", "IoU above, in %", IOU_THRESHOLDS * 100, [score.success for score in scores])]
    if not scores[0].rules.pooled:
        pixels = [score.precision for score in scores]
        relative = [score.normalised_precision for score in scores]
        panels.append(panel("precision", "distance of centres up to, in pixels", PIXEL_THRESHOLDS, pixels))
        panels.append(panel("normalised precision", "up to, in % of the size", RELATIVE_THRESHOLDS * 100, relative))
    width = MARGIN + len(panels) * (GUTTER + PANEL_WIDTH)
    items = [LegendItem(line_sample, colour, score.label) for score, colour in zip(scores, colours, strict=True)]
    legend = wrap_legend(items, width - GUTTER - MARGIN)
    top = MARGIN + len(legend) * LEGEND_ROW + LEGEND_ROW
    pen = Pen(width, top + PANEL_HEIGHT + AXIS_HEIGHT + MARGIN)
    draw_legend(pen, legend, GUTTER, MARGIN)
    for place, drawn in enumerate(panels):
        drawn.draw(pen, GUTTER + place * (GUTTER + PANEL_WIDTH), top, PANEL_WIDTH, PANEL_HEIGHT)
    return pen.picture()
