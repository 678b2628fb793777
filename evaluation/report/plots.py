"""Charts by matplotlib: no window, no state shared with other users of it, text shown as it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.mask_files import voc_palette
from util.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dedede",
    "legend.frameon": False,
}


@contextmanager
def figure(path: Path, width: int, height: int) -> Iterator["Figure"]:
    """A figure to draw in, which is written as a PNG when the `with` block ends.

    Args:
        path: of the PNG.
        width, height: of the picture, in pixels.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        drawn = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        with atomic_path(path) as temporary:
            drawn.savefig(temporary, format="png")


def readable(colour: Sequence[int], most: float = 0.25) -> tuple[float, float, float]:
    """A colour (0..255) as matplotlib's (0..1), darkened until it shows on white.

    Args:
        colour: red, green and blue.
        most: largest luminance of the result, relative to white's.
    """
    linear = (np.asarray(colour) / 255) ** 2.2
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    red, green, blue = (linear * min(1, most / max(luminance, 1e-6))) ** (1 / 2.2)
    return float(red), float(green), float(blue)


def object_colour(object_id: int) -> tuple[float, float, float]:
    """The colour that an object has in the results, darker where it would not show on white."""
    return readable(voc_palette()[object_id % 256])


def legend_above(axes: "Axes", columns: int = 6) -> None:
    """Name what is drawn, in rows above the axes."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(columns, len(handles)))
