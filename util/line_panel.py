"""A chart of curves with one axis below and levels beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from util.chart import LEGEND_ROW, SWATCH, TEXT, Axis
from util.pen import Colour, Pen

AXIS_HEIGHT = 44
LINE_WIDTH = 2.0


@dataclass(frozen=True)
class LinePanel:
    """Curves and what stands around them.

    Attributes:
        title, unit: above, and below the numbers of the axis.
        curves: points (x, y) of each, x from 0 to `last`, y from 0 to `highest`, with its colour.
        last, highest: where the axes end.
        levels: values of y that are named.
    """

    title: str
    unit: str
    curves: Sequence[tuple[Sequence[tuple[float, float]], Colour]]
    last: int
    highest: float
    levels: Sequence[float]

    def draw(self, pen: Pen, left: int, top: int, width: int, height: int) -> None:
        """Draw it; the numbers need some room at the left, the axis `AXIS_HEIGHT` below."""
        bottom = top + height
        axis = Axis(0, self.last, left, left + width)
        axis.draw_grid(pen, top, bottom)
        for level in self.levels:
            axis.draw_level(pen, bottom - height * level / self.highest, f"{level:.0f}")
        for points, colour in self.curves:
            pen.line([(axis.x(x), bottom - height * y / self.highest) for x, y in points], colour, LINE_WIDTH)
        middle = left + width / 2
        pen.text(middle, top - LEGEND_ROW / 2, self.title, TEXT, "mm")
        axis.draw_labels(pen, bottom + AXIS_HEIGHT / 3, "")
        pen.text(middle, bottom + AXIS_HEIGHT * 0.8, self.unit, TEXT, "mm")


def line_sample(pen: Pen, x: float, y: float, colour: Colour) -> None:
    """What a legend shows of a curve."""
    pen.line([(x - SWATCH / 2, y), (x + SWATCH / 2, y)], colour, LINE_WIDTH)
