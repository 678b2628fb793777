"""How good the masks of a video were over time, and what its memory kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from util.chart import LEGEND_ROW, PAD, TEXT, Axis, LegendItem, draw_legend, wrap_legend
from util.files import atomic_path
from util.pen import Colour, Pen
from util.quality_panel import PANEL_HEIGHT, draw_panel, make_curves, panel_legend
from util.quality_table import DYNAMIC, PERMANENT, QualityRow, memory_lanes
from util.score_tables import ObjectScore

MARGIN, GUTTER, GAP = 14, 92, 14
LANE_HEIGHT, LANE_STEP, AXIS_HEIGHT = 34, 38, 30
SMALLEST_MARK, LARGEST_MARK = 2.0, 5.5
BAND = (246, 246, 246)


@dataclass(frozen=True)
class _Mark:
    """What happened to a frame, and how that is drawn."""

    shape: Callable[[Pen, float, float, float, Colour], None]
    colour: Colour
    meaning: str

    def draw(self, pen: Pen, x: float, y: float, colour: Colour) -> None:
        """Draw it as large as in the legend."""
        self.shape(pen, x, y, LARGEST_MARK, colour)


ANNOTATED = _Mark(Pen.triangle, (30, 30, 30), "annotated frame")
ADMITTED = _Mark(Pen.disk, (0, 114, 178), "admitted to the memory")
REJECTED = _Mark(Pen.cross, (213, 60, 0), "rejected: quality too low")
EVICTED = _Mark(Pen.ring, (150, 80, 170), "another frame evicted")


def draw_timeline(
    rows: Sequence[QualityRow],
    scores: Sequence[ObjectScore] = (),
    *,
    width: int = 1000,
) -> np.ndarray:
    """Draw the predicted quality of each object over time, its true J&F, and what happened to the memory.

    The memory has one lane where all objects share it and one lane for each object otherwise. The panel of curves is
    left out where there is nothing to draw in it.

    Args:
        rows: what happened to each object in each frame, in any order.
        scores: scores of the video's objects; they may lack objects and hold NaN.
        width: width of the picture, in pixels.

    Returns:
        The picture as RGB (H, W, 3), uint8.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("a timeline needs at least one row")
    rows = sorted(rows, key=lambda row: (row.frame, row.object))
    curves, lanes = make_curves(rows, scores), memory_lanes(rows)
    frames = [row.frame for row in rows] + [frame for curve in curves for frame in curve.values]
    axis = Axis(min(frames), max(frames), GUTTER, width - MARGIN)
    legend = wrap_legend(panel_legend(curves), width - GUTTER - MARGIN) if curves else []
    marks = [LegendItem(mark.draw, mark.colour, mark.meaning) for mark in (ANNOTATED, ADMITTED, REJECTED, EVICTED)]
    marks_legend = wrap_legend(marks, width - GUTTER - MARGIN)
    panel_top = MARGIN + len(legend) * LEGEND_ROW + GAP
    lanes_top = panel_top + PANEL_HEIGHT + GAP if curves else MARGIN
    lanes_bottom = lanes_top + len(lanes) * LANE_STEP
    pen = Pen(width, lanes_bottom + AXIS_HEIGHT + len(marks_legend) * LEGEND_ROW + MARGIN)
    if curves:
        draw_legend(pen, legend, GUTTER, MARGIN)
        draw_panel(pen, axis, panel_top, curves)
    for index, (name, lane) in enumerate(lanes.items()):
        _draw_lane(pen, axis, lanes_top + index * LANE_STEP, name, lane)
    axis.draw_labels(pen, lanes_bottom + AXIS_HEIGHT / 3, "frame")
    draw_legend(pen, marks_legend, GUTTER, lanes_bottom + AXIS_HEIGHT)
    return pen.picture()


def write_timeline(
    path: Path,
    rows: Sequence[QualityRow],
    scores: Sequence[ObjectScore] = (),
    *,
    width: int = 1000,
) -> None:
    """Write the picture of `draw_timeline` as a PNG."""
    picture = Image.fromarray(draw_timeline(rows, scores, width=width))
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")


def _draw_lane(pen: Pen, axis: Axis, top: float, name: str, rows: Sequence[QualityRow]) -> None:
    """Mark the frames that a memory took in the upper half of a lane, and what it turned away or lost in the lower."""
    middle = top + LANE_HEIGHT / 2
    pen.rectangle(axis.left, top, axis.right, top + LANE_HEIGHT, BAND)
    axis.draw_grid(pen, top, top + LANE_HEIGHT)
    pen.text(axis.left - PAD, middle, name, TEXT, "rm")
    _draw_marks(pen, axis, middle - LANE_HEIGHT / 4, [(row.frame, _taken(row)) for row in rows])
    _draw_marks(pen, axis, middle + LANE_HEIGHT / 4, [(row.frame, _lost(row)) for row in rows])


def _draw_marks(pen: Pen, axis: Axis, y: float, marks: Sequence[tuple[int, _Mark | None]]) -> None:
    """Draw the marks of frames, smaller where they lie close together; annotated frames stay large and on top."""
    found = [(axis.x(frame), mark) for frame, mark in marks if mark is not None]
    gap = median([after - before for (before, _), (after, _) in pairwise(found)] or [math.inf])
    radius = min(LARGEST_MARK, max(SMALLEST_MARK, 0.45 * gap))
    for x, mark in sorted(found, key=lambda place: place[1] is ANNOTATED):
        mark.shape(pen, x, y, LARGEST_MARK if mark is ANNOTATED else radius, mark.colour)


def _taken(row: QualityRow) -> _Mark | None:
    return {PERMANENT: ANNOTATED, DYNAMIC: ADMITTED}.get(row.stored)


def _lost(row: QualityRow) -> _Mark | None:
    if row.rejected:
        return REJECTED
    return None if row.evicted is None else EVICTED
