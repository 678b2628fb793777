"""The curves of a timeline: predicted quality and true scores of each object."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from util.chart import SWATCH, TEXT, Axis, LegendItem
from util.palette import voc_palette
from util.pen import Colour, Pen, Point, readable
from util.quality_table import QualityRow
from util.score_tables import ObjectScore

PANEL_HEIGHT = 240
WIDTH, DENSE_WIDTH, DOT, DASH = 2.0, 1.0, 3.0, (6.0, 4.0)


@dataclass(frozen=True)
class Curve:
    """An object's values over frames, NaN where unknown; true scores are dashed."""

    object_id: int
    values: dict[int, float]
    is_score: bool

    @property
    def colour(self) -> Colour:
        """The object's colour in the results, darker where it would not show on white."""
        return readable(voc_palette()[self.object_id % 256])

    def draw(self, pen: Pen, axis: Axis, top: float) -> None:
        """Draw each run of known values, one alone as a dot."""
        width = WIDTH if axis.spacing >= 1 else DENSE_WIDTH
        runs: list[list[Point]] = [[]]
        for frame, value in self.values.items():
            if math.isnan(value):
                runs.append([])
            else:
                runs[-1].append((axis.x(frame), _height(value, top)))
        for run in filter(None, runs):
            if len(run) == 1:
                pen.disk(*run[0], DOT, self.colour)
            else:
                pen.line(run, self.colour, width, DASH if self.is_score else ())


def make_curves(rows: Sequence[QualityRow], scores: Sequence[ObjectScore]) -> list[Curve]:
    """The qualities of rows in frame order, and the J&F; those without any known value are left out."""
    position = {row.name: row.frame for row in rows}
    qualities: dict[int, dict[int, float]] = {}
    for row in rows:
        qualities.setdefault(row.object, {})[row.frame] = math.nan if row.quality is None else row.quality
    curves = [Curve(object_id, values, is_score=False) for object_id, values in qualities.items()]
    for score in scores:
        means = zip(score.frames, ((score.j_values + score.f_values) / 2).tolist(), strict=True)
        values = {position[name]: mean for name, mean in means if name in position}
        curves.append(Curve(score.object_id, values, is_score=True))
    return [curve for curve in curves if not all(map(math.isnan, curve.values.values()))]


def draw_panel(pen: Pen, axis: Axis, top: float, curves: Sequence[Curve]) -> None:
    """Draw curves over a grid, clipped to 0..1."""
    axis.draw_grid(pen, top, top + PANEL_HEIGHT)
    for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        axis.draw_level(pen, _height(value, top), f"{value:.1f}")
    for curve in curves:
        curve.draw(pen, axis, top)


def panel_legend(curves: Sequence[Curve]) -> list[LegendItem]:
    """The objects by colour, then what each kind of line means."""
    colours = {curve.object_id: curve.colour for curve in curves}
    items = [LegendItem(_sample, colour, f"object {object_id}") for object_id, colour in sorted(colours.items())]
    if not all(curve.is_score for curve in curves):
        items.append(LegendItem(_sample, TEXT, "predicted quality"))
    if any(curve.is_score for curve in curves):
        items.append(LegendItem(partial(_sample, dash=DASH), TEXT, "true J&F"))
    return items


def _sample(pen: Pen, x: float, y: float, colour: Colour, dash: Sequence[float] = ()) -> None:
    """A short line around a point."""
    pen.line([(x - SWATCH / 2, y), (x + SWATCH / 2, y)], colour, WIDTH, dash)


def _height(value: float, top: float) -> float:
    """Where a value lies in the panel, clipped to 0..1."""
    return top + PANEL_HEIGHT * (1 - min(1.0, max(0.0, value)))
