"""What a segmentation run writes of a video: its masks, and what may be had beside them."""

import csv
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.boxes.boxes import Box, box_of_mask
from evaluation.quality_table import HEADER, QualityRow, format_row
from evaluation.report.pictures import contact_sheet, draw_box, draw_objects, write_picture
from evaluation.video_writer import VideoWriter
from inference_core import FrameReport
from util.files import atomic_folder, atomic_path


@dataclass(frozen=True)
class Result:
    """A segmented frame.

    Attributes:
        index: position in the video.
        name: of the frame.
        pixels: RGB (H, W, 3), uint8.
        ids: object ids (H', W').
        masks: probability (H', W') of each object that the frame was segmented for.
        report: of the core; None for a frame that is only shown again.
        position: turns the core's frame numbers into positions in the video.
        seconds: that segmenting it took.
        box: of the object, in pixels of the frame, where a tracker found it; ids are 0 then.
    """

    index: int
    name: str
    pixels: np.ndarray
    ids: np.ndarray
    masks: Mapping[int, Tensor] = field(default_factory=dict)
    report: FrameReport | None = None
    position: Callable[[int], int] = int
    seconds: float = 0.0
    box: Box | None = None


class Writer:
    """Takes results; leaving its `with` block puts what it made in its place, or drops it after an error.

    Attributes:
        in_order: whether frames must come in the order of the video, each once.
    """

    in_order = True

    def open(self, stack: ExitStack) -> None:
        """Enter what is to be left, with or without an error, at the end."""

    def add(self, result: Result) -> None:
        """Take a frame."""
        raise NotImplementedError

    def save(self) -> None:
        """Write what could not be written before the end."""

    def __enter__(self) -> "Writer":
        with ExitStack() as stack:
            self.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            self.save()


class SheetWriter(Writer):
    """Draws a contact sheet of evenly spaced frames.

    Args:
        path: the PNG to write.
        positions: of the frames of the video.
        samples: frames on the sheet.
    """

    def __init__(self, path: Path, positions: range, samples: int = 12) -> None:
        chosen = np.linspace(0, len(positions) - 1, min(samples, len(positions))).round().astype(int)
        self._path = path
        self._wanted = frozenset(positions[i] for i in chosen.tolist())
        self._cells: list[tuple[np.ndarray, np.ndarray, str]] = []

    def add(self, result: Result) -> None:
        """See `Writer`."""
        if result.index in self._wanted:
            quality = result.report.quality if result.report else ()
            self._cells.append((result.pixels, result.ids, result.name + _mean_quality(quality)))

    def save(self) -> None:
        """See `Writer`."""
        frames, ids, captions = zip(*self._cells, strict=True)
        write_picture(self._path, contact_sheet(frames, ids, captions))


class QualityWriter(Writer):
    """Writes a table of the core's reports, see `evaluation.quality_table`."""

    in_order = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, stack: ExitStack) -> None:
        """See `Writer`."""
        self._table = _open_table(stack, self._path)
        self._table.writerow(HEADER)

    def add(self, result: Result) -> None:
        """See `Writer`."""
        report, position = result.report, result.position
        assert report is not None, "tables are made of what the core reports"
        qualities = dict(zip(report.objects, report.quality, strict=True)) if report.quality else {}
        for bank in report.banks:
            memory = tuple(map(position, bank.memory_frames))
            evicted = None if bank.evicted is None else position(bank.evicted)
            for k in bank.objects:
                if k in result.masks:
                    fate = (bank.relative_quality, bank.stored, bank.rejected, evicted, memory)
                    self._table.writerow(format_row(QualityRow(result.index, result.name, k, qualities.get(k), *fate)))


class BoxWriter(Writer):
    """Writes a table with the box around each object in each frame, in pixels; empty where there is none.

    Args:
        path: the CSV file to write.
        objects: ids.
    """

    def __init__(self, path: Path, objects: Sequence[int]) -> None:
        self._path = path
        self._objects = objects

    def open(self, stack: ExitStack) -> None:
        """See `Writer`."""
        self._table = _open_table(stack, self._path)
        self._table.writerow(("frame", "name", "object", "x", "y", "width", "height"))

    def add(self, result: Result) -> None:
        """See `Writer`."""
        for k in self._objects:
            box = box_of_mask(result.ids == k)
            self._table.writerow([result.index, result.name, k, *(box or ("",) * 4)])


class OverlayWriter(Writer):
    """Writes the video with its objects drawn in.

    Args:
        path: .mp4 or .gif.
        rate: frames per second.
        palette: colours of the ids, uint8 (256, 3); None for the usual ones.
        times: seconds from the video's first frame to each of its frames; None for a steady rate.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        palette: np.ndarray | None = None,
        times: Sequence[Fraction] | None = None,
    ) -> None:
        self._writer = VideoWriter(path, rate, steady=times is None)
        self._palette = palette
        self._times = times
        self._start: Fraction | None = None

    def open(self, stack: ExitStack) -> None:
        """See `Writer`."""
        stack.enter_context(self._writer)

    def add(self, result: Result) -> None:
        """See `Writer`."""
        outline = max(1, round(min(result.pixels.shape[:2]) / 240))
        picture = draw_objects(result.pixels, result.ids, outline, self._palette)
        if result.box is not None:
            draw_box(picture, result.box, outline)
        self._writer.write(picture, self._time(result.index))

    def _time(self, index: int) -> Fraction | None:
        """Seconds from the first frame that is shown, where frames have times of their own."""
        if self._times is None or index >= len(self._times):
            return None
        self._start = self._times[index] if self._start is None else self._start
        return self._times[index] - self._start


class SoftWriter(Writer):
    """Writes each object's probability as a grey PNG, 255 for 1: `<folder>/<object>/<frame>.png`."""

    in_order = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, stack: ExitStack) -> None:
        """See `Writer`."""
        self._partial = stack.enter_context(atomic_folder(self._folder))

    def add(self, result: Result) -> None:
        """See `Writer`."""
        if not result.masks:
            return
        planes = (torch.stack(list(result.masks.values())) * 255).round().byte().cpu().numpy()  # fetched together
        for k, plane in zip(result.masks, planes, strict=True):
            folder = self._partial / str(k)
            folder.mkdir(exist_ok=True)
            picture = Image.fromarray(plane)
            picture.save(folder / f"{result.name}.png", compress_level=1)


def _open_table(stack: ExitStack, path: Path) -> Any:
    """A CSV writer whose file appears when the stack is left."""
    stream = stack.enter_context(atomic_path(path)).open("w", newline="", encoding="utf-8")
    return csv.writer(stack.enter_context(stream), lineterminator="\n")


def _mean_quality(quality: Sequence[float]) -> str:
    return f"  quality {fmean(quality):.2f}" if quality else ""
