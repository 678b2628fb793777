"""The frame axis and the legend of a chart."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from util.pen import Colour, Pen, text_width

TEXT, GRID = (40, 40, 40), (222, 222, 222)
TICK_SPACING, PAD = 70, 10
LEGEND_ROW, SWATCH, ITEM_GAP = 24, 28, 22


@dataclass(frozen=True)
class Axis:
    """Maps the frames `first` to `last` to the pixels `left` to `right`, with some space at both ends."""

    first: int
    last: int
    left: float
    right: float

    def x(self, frame: int) -> float:
        """Where a frame lies; in the middle where there is only one."""
        if self.first == self.last:
            return (self.left + self.right) / 2
        return self.left + PAD + (frame - self.first) * self.spacing

    @property
    def spacing(self) -> float:
        """Pixels from a frame to the next."""
        return (self.right - self.left - 2 * PAD) / max(1, self.last - self.first)

    def ticks(self) -> list[int]:
        """Round frame numbers, far enough apart for their labels."""
        least = (self.last - self.first) * TICK_SPACING / max(TICK_SPACING, self.right - self.left)
        steps = (digit * 10**power for power in count() for digit in (1, 2, 5))
        step = next(step for step in steps if step >= least)
        return list(range(-(-self.first // step) * step, self.last + 1, step))

    def draw_grid(self, pen: Pen, top: float, bottom: float) -> None:
        """Draw a vertical line at each tick."""
        for tick in self.ticks():
            pen.line([(self.x(tick), top), (self.x(tick), bottom)], GRID)

    def draw_level(self, pen: Pen, y: float, label: str, colour: Colour = GRID, width: float = 1) -> None:
        """Draw a horizontal line, and its label in front of it."""
        pen.line([(self.left, y), (self.right, y)], colour, width)
        pen.text(self.left - PAD, y, label, TEXT, "rm")

    def draw_labels(self, pen: Pen, y: float, title: str) -> None:
        """Write the number below each tick, and the title in front of them."""
        pen.text(self.left - PAD, y, title, TEXT, "rm")
        for tick in self.ticks():
            pen.text(self.x(tick), y, str(tick), TEXT, "mm")


@dataclass(frozen=True)
class LegendItem:
    """A meaning in words and its symbol, which `draw` puts around a point in a colour."""

    draw: Callable[[Pen, float, float, Colour], None]
    colour: Colour
    label: str

    @property
    def width(self) -> float:
        """Width with its symbol and the gap behind it."""
        return SWATCH + 6 + text_width(self.label) + ITEM_GAP


def wrap_legend(items: Iterable[LegendItem], width: float) -> list[list[LegendItem]]:
    """Break a legend into rows of at most `width` pixels, each of one item at least."""
    rows: list[list[LegendItem]] = []
    used = 0.0
    for item in items:
        if not rows or used + item.width > width + ITEM_GAP:
            rows.append([])
            used = 0.0
        rows[-1].append(item)
        used += item.width
    return rows


def draw_legend(pen: Pen, rows: Sequence[Sequence[LegendItem]], left: float, top: float) -> None:
    """Draw the rows of a legend one below the other."""
    for index, row in enumerate(rows):
        x, y = left, top + (index + 0.5) * LEGEND_ROW
        for item in row:
            item.draw(pen, x + SWATCH / 2, y, item.colour)
            pen.text(x + SWATCH + 6, y, item.label, TEXT)
            x += item.width
