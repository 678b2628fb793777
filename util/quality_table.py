"""The table of a video's quality scores and memory: one row for each frame and object."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from util.errors import InputError
from util.files import atomic_path

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


def write_quality_table(path: Path, rows: Iterable[QualityRow]) -> None:
    """Write rows as CSV, in their order, with four decimals."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(HEADER)
        table.writerows(map(format_row, rows))


def read_quality_table(path: Path) -> list[QualityRow]:
    """The rows of a table, by frame and then by object.

    Raises:
        InputError: the table is missing or damaged.
    """
    remedy = "segment again with --quality_csv --overwrite"
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream, strict=True)
        if tuple(header) != HEADER:
            raise ValueError(f"its columns are not {','.join(HEADER)}")
        return sorted(map(_parse_row, rows), key=lambda row: (row.frame, row.object))
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


def format_row(row: QualityRow) -> list[object]:
    """The cells of a row."""
    quality, relative = ("" if value is None else f"{value:.4f}" for value in (row.quality, row.relative_quality))
    memory = " ".join(map(str, row.memory_frames))
    return [row.frame, row.name, row.object, quality, relative, row.stored, int(row.rejected), row.evicted, memory]


def _parse_row(cells: Sequence[str]) -> QualityRow:
    if len(cells) != len(HEADER):
        raise ValueError(f"a row has {len(cells)} columns instead of {len(HEADER)}")
    frame, name, object_id, quality, relative, stored, rejected, evicted, memory = cells
    if stored not in (PERMANENT, DYNAMIC, TEMPORARY, ""):
        raise ValueError(f"{stored!r} is no kind of storage")
    if rejected not in ("0", "1"):
        raise ValueError(f"rejected is {rejected!r}, not 0 or 1")
    return QualityRow(
        frame=int(frame),
        name=name,
        object=int(object_id),
        quality=float(quality) if quality else None,
        relative_quality=float(relative) if relative else None,
        stored=stored,
        rejected=rejected == "1",
        evicted=int(evicted) if evicted else None,
        memory_frames=tuple(map(int, memory.split())),
    )
