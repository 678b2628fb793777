"""Success and precision curves of trackers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.boxes.scores import IOU_THRESHOLDS, PIXEL_THRESHOLDS, RELATIVE_THRESHOLDS, BoxScores
from evaluation.report.plots import figure, object_colour

PANEL_WIDTH, PANEL_HEIGHT, LEGEND_ROW = 400, 360, 18


def write_curves(path: Path, scores: Sequence[BoxScores]) -> None:
    """Draw the success curves of trackers, and their precision curves where the benchmark has them.

    Args:
        path: of the PNG.
        scores: one for each tracker, all by the same rules.
    """
    panels = [("success", "IoU above, in %", IOU_THRESHOLDS * 100, [score.success for score in scores])]
    if not scores[0].rules.pooled:
        pixels = [score.precision for score in scores]
        relative = [score.normalised_precision for score in scores]
        panels.append(("precision", "distance of centres up to, in pixels", PIXEL_THRESHOLDS, pixels))
        panels.append(("normalised precision", "up to, in % of the size", RELATIVE_THRESHOLDS * 100, relative))
    rows = -(-len(scores) // (3 * len(panels)))
    with figure(path, PANEL_WIDTH * len(panels), PANEL_HEIGHT + LEGEND_ROW * rows) as drawn:
        for axes, (title, unit, thresholds, curves) in zip(
            drawn.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            for number, (score, curve) in enumerate(zip(scores, curves, strict=True), start=1):
                axes.plot(thresholds, 100 * np.asarray(curve), color=object_colour(number), label=score.label)
            axes.set(title=f"{title}: % of frames", xlabel=unit, xlim=(0, thresholds[-1]), ylim=(0, 100))
        names = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(*names, loc="outside upper left", ncols=3 * len(panels))
