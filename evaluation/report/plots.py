"""Charts by matplotlib, and the timeline of a video: how good its masks were, and what its memory kept.

Charts open no window, share no state with other users of matplotlib, and show text as it is.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from datasets.mask_files import voc_palette
from evaluation.quality_table import DYNAMIC, PERMANENT, QualityRow, memory_lanes
from evaluation.scoring import ObjectScore
from util.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
CURVES_HEIGHT, LANE_HEIGHT, AXIS_HEIGHT, LEGEND_ROW, GAP, LEFT, RIGHT = 240, 40, 45, 18, 12, 90, 16  # pixels
LARGEST_MARK, SMALLEST_MARK = 8.0, 3.0
COLUMNS = 6
STYLE: Any = {
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


@dataclass(frozen=True)
class Mark:
    """What happened to a frame, and matplotlib's marker, colour and fill style for it."""

    marker: str
    colour: str
    meaning: str
    fill: Literal["full", "none"] = "full"


ANNOTATED = Mark("^", "#1e1e1e", "annotated frame")
ADMITTED = Mark("o", "#0072b2", "admitted to the memory")
REJECTED = Mark("x", "#d53c00", "rejected: quality too low")
EVICTED = Mark("o", "#9650aa", "another frame evicted", fill="none")


@dataclass(frozen=True)
class Curve:
    """An object's values by frame, NaN where unknown."""

    object_id: int
    values: dict[int, float]
    is_score: bool


def write_timeline(
    path: Path, rows: Sequence[QualityRow], scores: Sequence[ObjectScore] = (), *, width: int = 1000
) -> None:
    """Draw the predicted quality of each object over time, its true J&F, and what happened to the memory.

    The memory has one lane where all objects share it and one lane for each object otherwise. The curves are left out
    where there are none.

    Args:
        path: of the PNG.
        rows: what happened to each object in each frame, in any order.
        scores: scores of the video's objects; they may lack objects and hold NaN.
        width: width of the picture, in pixels.

    Raises:
        ValueError: there is no row.
    """
    from matplotlib.ticker import MaxNLocator

    if not rows:
        raise ValueError("a timeline needs at least one row")
    rows = sorted(rows, key=lambda row: (row.frame, row.object))
    curves, lanes = make_curves(rows, scores), memory_lanes(rows)
    legend = LEGEND_ROW * -(-(len({curve.object_id for curve in curves}) + 2) // COLUMNS) + GAP if curves else 0
    lanes_height = LANE_HEIGHT * len(lanes)
    height = legend + (CURVES_HEIGHT + GAP if curves else 0) + LEGEND_ROW + GAP + lanes_height + AXIS_HEIGHT
    with figure(path, width, height) as drawn:
        drawn.set_layout_engine("none")
        memory = _panel(drawn, AXIS_HEIGHT, lanes_height)
        draw_lanes(memory, lanes)
        if curves:
            panel = _panel(drawn, height - legend - CURVES_HEIGHT, CURVES_HEIGHT)
            panel.sharex(memory)
            panel.tick_params(labelbottom=False)
            draw_curves(panel, curves)
        first, last = rows[0].frame, max(rows[-1].frame, rows[0].frame + 1)
        memory.set(xlabel="frame", xlim=(first - 0.01 * (last - first), last + 0.01 * (last - first)))
        memory.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True))


def _panel(drawn: "Figure", bottom: int, height: int) -> "Axes":
    """Axes across the figure, from so many pixels above its lower edge on."""
    wide, high = drawn.get_size_inches() * DPI
    return drawn.add_axes((LEFT / wide, bottom / high, (wide - LEFT - RIGHT) / wide, height / high))


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


def draw_curves(axes: "Axes", curves: Sequence[Curve]) -> None:
    """Draw values, clipped to 0..1: predicted quality solid, true scores dashed; one alone as a dot."""
    for curve in curves:
        values = [value if math.isnan(value) else min(1.0, max(0.0, value)) for value in curve.values.values()]
        alone = sum(not math.isnan(value) for value in values) == 1
        style, marker = "--" if curve.is_score else "-", "." if alone else None
        axes.plot(list(curve.values), values, style, color=object_colour(curve.object_id), lw=1.5, marker=marker)
    for object_id in sorted({curve.object_id for curve in curves}):
        axes.plot([], [], color=object_colour(object_id), label=f"object {object_id}")
    if not all(curve.is_score for curve in curves):
        axes.plot([], [], "-", color="#282828", label="predicted quality")
    if any(curve.is_score for curve in curves):
        axes.plot([], [], "--", color="#282828", label="true J&F")
    axes.set_ylim(-0.01, 1.01)
    legend_above(axes, COLUMNS)


def draw_lanes(axes: "Axes", lanes: dict[str, list[QualityRow]]) -> None:
    """Mark the frames that a memory took in the upper half of a lane, and what it turned away or lost in the lower."""
    for lane, rows in enumerate(lanes.values()):
        crowding = max(1.0, len(rows) / 100)
        for mark in (ADMITTED, REJECTED, EVICTED, ANNOTATED):
            frames = [row.frame for row in rows if mark in (_taken(row), _lost(row))]
            size = LARGEST_MARK if mark is ANNOTATED else max(SMALLEST_MARK, LARGEST_MARK / crowding)
            height = lane - 0.2 if mark in (ANNOTATED, ADMITTED) else lane + 0.2
            axes.plot(
                frames,
                [height] * len(frames),
                marker=mark.marker,
                color=mark.colour,
                fillstyle=mark.fill,
                ls="",
                ms=size,
                clip_on=False,
                label=None if lane else mark.meaning,
            )
    axes.set_yticks(range(len(lanes)), list(lanes))
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    legend_above(axes)


def _taken(row: QualityRow) -> Mark | None:
    return {PERMANENT: ANNOTATED, DYNAMIC: ADMITTED}.get(row.stored)


def _lost(row: QualityRow) -> Mark | None:
    if row.rejected:
        return REJECTED
    return None if row.evicted is None else EVICTED
