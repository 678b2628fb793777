"""The table of a video's quality scores and memory: one row for each frame and object."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from util.errors import InputError
from util.text_files import read_text

HEADER = (
    "frame",
    "name",
    "object",
    "quality",
    "relative_quality",
    "stored",
    "rejected",
    "evicted",
    "memory_frames",
)
PERMANENT, DYNAMIC, TEMPORARY = "permanent", "dynamic", "temporary"


@dataclass(frozen=True)
class QualityRow:
    """What happened to one object in one frame.

    Attributes:
        frame: position of the frame in the video.
        name: the frame's name.
        object: the object's id.
        quality: predicted mask IoU, about 0..1, or None where the network has no scorer.
        relative_quality: quality over the annotated frame's, or None where it is unknown.
        stored: "permanent" (annotated), "dynamic" (admitted), "temporary" (kept until the next frame) or "" (not kept).
        rejected: whether the frame was due for admission but its quality was too low.
        evicted: position of the frame that left the object's memory for this one, or None.
        memory_frames: positions of the frames in the object's memory afterwards.
    """

    frame: int
    name: str
    object: int
    quality: float | None
    relative_quality: float | None
    stored: str
    rejected: bool
    evicted: int | None
    memory_frames: tuple[int, ...]


def format_row(row: QualityRow) -> list[object]:
    """The cells of a row, in the order of `HEADER`; qualities have four decimals."""
    quality, relative = ("" if value is None else f"{value:.4f}" for value in (row.quality, row.relative_quality))
    memory = " ".join(map(str, row.memory_frames))
    return [row.frame, row.name, row.object, quality, relative, row.stored, int(row.rejected), row.evicted, memory]


def read_quality_table(path: Path) -> list[QualityRow]:
    """The rows of a table, by frame and then by object.

    Raises:
        InputError: the table is missing or damaged, or has two rows of one frame and object.
    """
    remedy = "segment again with --quality_csv --overwrite"
    try:
        table = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        if tuple(next(table, ())) != HEADER:
            raise ValueError(f"its columns are not {','.join(HEADER)}")
        rows: dict[tuple[int, int], QualityRow] = {}
        for cells in table:
            row = _parse_row(cells, table.line_num)
            if (row.frame, row.object) in rows:
                raise ValueError(f"line {table.line_num} has frame {row.frame} and object {row.object} once more")
            rows[row.frame, row.object] = row
        return [rows[key] for key in sorted(rows)]
    except FileNotFoundError as error:
        raise InputError(f"quality table {path} does not exist; {remedy}") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"quality table {path} is damaged ({error}); {remedy}") from error


def memory_lanes(rows: Sequence[QualityRow]) -> dict[str, list[QualityRow]]:
    """The rows of each memory by its name.

    Where no two objects differ in what happened to a frame they have one "memory", which gets one row for each frame.
    Otherwise each object has its own, named "object <id>".
    """
    shared: dict[int, QualityRow] = {}
    lanes: dict[int, list[QualityRow]] = {}
    for row in rows:
        shared.setdefault(row.frame, row)
        lanes.setdefault(row.object, []).append(row)
    if all(_event(row) == _event(shared[row.frame]) for row in rows):
        return {"memory": list(shared.values())} if rows else {}
    return {f"object {object_id}": lanes[object_id] for object_id in sorted(lanes)}


def mean_quality(rows: Iterable[QualityRow]) -> float | None:
    """Mean of all predicted qualities that are known and not NaN, or None where there are none."""
    known = [row.quality for row in rows if row.quality is not None and not math.isnan(row.quality)]
    return fmean(known) if known else None


def _event(row: QualityRow) -> tuple[str, bool, int | None]:
    return row.stored, row.rejected, row.evicted


def _parse_row(cells: Sequence[str], line: int) -> QualityRow:
    """The row of these cells, which end in this line of the file."""
    try:
        return _row_of(cells)
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error


def _row_of(cells: Sequence[str]) -> QualityRow:
    if len(cells) != len(HEADER):
        raise ValueError(f"a row has {len(cells)} columns instead of {len(HEADER)}")
    frame, name, object_id, quality, relative, stored, rejected, evicted, memory = cells
    if stored not in (PERMANENT, DYNAMIC, TEMPORARY, ""):
        raise ValueError(f"{stored!r} is no kind of storage")
    if rejected not in ("0", "1"):
        raise ValueError(f"rejected is {rejected!r}, not 0 or 1")
    return QualityRow(
        frame=_count(frame),
        name=name,
        object=_count(object_id),
        quality=_quality(quality),
        relative_quality=_quality(relative),
        stored=stored,
        rejected=rejected == "1",
        evicted=_count(evicted) if evicted else None,
        memory_frames=tuple(map(_count, memory.split())),
    )


def _count(text: str) -> int:
    """A number of a frame or an object."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text:.40} is no whole number from 0")
    return int(text)


def _quality(text: str) -> float | None:
    """A quality, which may be NaN; None where the cell is empty."""
    value = float(text) if text else None
    if value is not None and math.isinf(value):
        raise ValueError(f"{text:.40} is no quality")
    return value
