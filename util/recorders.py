"""What a segmentation run can record of a video beside its masks."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Protocol

import numpy as np

from util.contact_sheet import contact_sheet, write_contact_sheet
from util.files import atomic_path


class FrameReport(Protocol):
    """What an inference core tells about the frame it has just segmented.

    Attributes:
        frame: position of the frame in the video.
        quality: predicted mask quality of each object, in [0, 1] where the scorer is calibrated.
        relative_quality: their mean over the first frame's, or None where it is unknown.
        stored: "permanent", "dynamic" or "temporary" for a frame that entered the memory, else None.
        evicted: position of the frame that left the memory, or None.
        memory_frames: positions of the frames in the memory.
    """

    frame: int
    quality: tuple[float, ...]
    relative_quality: float | None
    stored: str | None
    evicted: int | None
    memory_frames: tuple[int, ...]


class SheetRecorder:
    """Draws a contact sheet of evenly spaced frames.

    Args:
        path: the PNG to write.
        length: frames of the video.
        samples: frames on the sheet.
    """

    def __init__(self, path: Path, length: int, samples: int = 12) -> None:
        self._path = path
        self._wanted = frozenset(np.linspace(0, length - 1, min(samples, length)).round().astype(int).tolist())
        self._seen = 0
        self._cells: list[tuple[np.ndarray, np.ndarray, str]] = []

    def add(self, name: str, pixels: np.ndarray, ids: np.ndarray, report: FrameReport) -> None:
        """Take a frame: RGB (H, W, 3) uint8, ids (H, W) uint8."""
        if self._seen in self._wanted:
            quality = f"  quality {fmean(report.quality):.2f}" if report.quality else ""
            self._cells.append((pixels, ids, f"{name}{quality}"))
        self._seen += 1

    def save(self) -> None:
        """Write the sheet."""
        frames, ids, captions = zip(*self._cells, strict=True)
        write_contact_sheet(self._path, contact_sheet(frames, ids, captions))


class QualityRecorder:
    """Writes a table of the core's reports, one row for each frame and one column for each object's quality.

    Args:
        path: the CSV file to write.
        objects: original ids of the objects, in the order of the report's qualities.
    """

    def __init__(self, path: Path, objects: Sequence[int]) -> None:
        self._path = path
        self._objects = objects
        self._rows: list[list[object]] = []

    def add(self, name: str, pixels: np.ndarray, ids: np.ndarray, report: FrameReport) -> None:
        """Take a frame's report."""
        quality = [f"{q:.4f}" for q in report.quality] or [""] * len(self._objects)
        relative = "" if report.relative_quality is None else f"{report.relative_quality:.4f}"
        memory = " ".join(map(str, report.memory_frames))
        self._rows.append([report.frame, name, *quality, relative, report.stored, report.evicted, memory])

    def save(self) -> None:
        """Write the table."""
        qualities = [f"quality_{i}" for i in self._objects]
        header = ["frame", "name", *qualities, "relative_quality", "stored", "evicted", "memory_frames"]
        with atomic_path(self._path) as temporary, temporary.open("w", newline="") as stream:
            csv.writer(stream).writerows([header, *self._rows])
