"""The boxes of tracked videos on disk: written during a run, read, and packed for other toolkits and servers.

A video's results are two files in a folder of its name, as the GOT-10k toolkit has them: `<video>/<video>_001.txt` with
a box in each row, as `%.3f`, and `<video>/<video>_time.txt` with the seconds of each frame, as `%.8f`.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.boxes.boxes import Box, box_of_mask, format_rows, read_boxes
from datasets.mask_files import write_binary
from evaluation.segment import PngWriter
from evaluation.writers import Result, Writer
from util.errors import InputError
from util.files import atomic_folder, atomic_path, make_output_folder, write_text
from util.text_files import read_numbers

BOX_FORM, TIME_FORM = "%.3f", "%.8f"


def result_files(name: str) -> list[str]:
    """Names of the two files of a video."""
    return [f"{name}_001.txt", f"{name}_time.txt"]


class TrackWriter(Writer):
    """Writes the boxes and the times of a video.

    The first row is the given box. Where nothing is found, the previous box is repeated: tools that read the files take
    boxes without size for errors.

    Args:
        folder: where the files are written.
        name: of the video.
        given: box of the object in the first frame.
    """

    def __init__(self, folder: Path, name: str, given: Box) -> None:
        self._paths = [folder / file for file in result_files(name)]
        self._given = given
        self._boxes: list[Box] = []
        self._seconds: list[float] = []

    def add(self, result: Result) -> None:
        """Take the box of the object in a frame, by a tracker or around its mask, and the seconds that it took."""
        found = self._given if not self._boxes else result.box or box_of_mask(result.ids > 0)
        self._boxes.append(found or self._boxes[-1])
        self._seconds.append(result.seconds)

    def save(self) -> None:
        """Write both files."""
        boxes, times = self._paths
        write_text(boxes, format_rows(np.array(self._boxes), BOX_FORM))
        write_text(times, format_rows(np.array(self._seconds)[:, None], TIME_FORM))


class MaskWriter(Writer):
    """Writes each frame's mask as a grey PNG of 0 and 255: `<folder>/<frame>.png`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, stack: ExitStack) -> None:
        """Begin the folder, which appears when all masks are in it."""
        make_output_folder(self._folder.parent)
        self._partial = stack.enter_context(atomic_folder(self._folder))
        self._writer = stack.enter_context(PngWriter(write_binary))

    def add(self, result: Result) -> None:
        """Write the mask of a frame, on a thread of its own."""
        self._writer.write(self._partial / f"{result.name}.png", result.ids > 0)


@dataclass(frozen=True, eq=False)
class TrackResult:
    """The results of a tracked video of T frames.

    Attributes:
        path: of the file with the boxes.
        boxes: (T, 4) in pixels: x, y, width, height.
        seconds: that each frame took, (T,); None where they are not known.
    """

    path: Path
    boxes: np.ndarray
    seconds: np.ndarray | None

    @property
    def fps(self) -> float:
        """Frames per second; NaN where the times are not known."""
        total = 0.0 if self.seconds is None else float(self.seconds.sum())
        return len(self.boxes) / total if total > 0 else float("nan")


def read_result(folder: Path, name: str) -> TrackResult:
    """The results of a video, as `TrackWriter` wrote them or in a layout of `<name>.txt`, with commas or tabs.

    Raises:
        InputError: there are none, a file cannot be read, a box is negative or not a number, all are smaller than a
            pixel, or times are no seconds.
    """
    nested, flat = folder / name / result_files(name)[0], folder / f"{name}.txt"
    path = nested if nested.is_file() or not flat.is_file() else flat
    if not path.is_file():
        raise InputError(f"video {name} has no results, {path} does not exist; run the evaluation again")
    boxes = read_boxes(path)
    bad = ~np.isfinite(boxes).all(1) | (boxes[:, 2:] < 0).any(1)
    if bad.any():
        raise InputError(f"row {int(bad.argmax()) + 1} of {path} is no box; run the evaluation of this video again")
    if (boxes[:, 2:] < 1).all():
        raise InputError(f"all boxes of {path} are smaller than a pixel; write them in pixels: x, y, width, height")
    places = (path.with_name(f"{name}_time.txt"), folder / "times" / f"{name}_time.txt")
    times = next((place for place in places if place.is_file()), None)
    seconds = None if times is None else _read_seconds(times)
    if seconds is not None and len(seconds) != len(boxes):
        raise InputError(f"{times} has {len(seconds)} rows but {path} {len(boxes)}; run the evaluation again")
    return TrackResult(path, boxes, seconds)


def _read_seconds(path: Path) -> np.ndarray:
    """The seconds of each frame, (T,): of several columns, which are repeated runs, the first.

    Raises:
        InputError: they cannot be read, are negative or not finite, or have decimal commas.
    """
    table = read_numbers(path)
    if table.shape[1] > 1 and (table == table.round()).all():
        raise InputError(f"{path} has columns of whole numbers; write seconds with a decimal point, one in each row")
    bad = ~((table[:, 0] >= 0) & np.isfinite(table[:, 0]))
    if bad.any():
        raise InputError(f"row {int(bad.argmax()) + 1} of {path} is no time in seconds; run the evaluation again")
    return table[:, 0]


def finished_videos(folder: Path) -> list[str]:
    """Names of the videos whose boxes lie in a folder, as `TrackWriter` writes them.

    Raises:
        InputError: the folder is missing, or there are none.
    """
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; pass the output of eval_boxes.py")
    places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    names = [place.name for place in places if (place / result_files(place.name)[0]).is_file()]
    if not names:
        raise InputError(f"folder {folder} holds no <video>/<video>_001.txt; pass the output of eval_boxes.py")
    return names


@dataclass(frozen=True)
class Layout:
    """Where the results of a video lie and what their rows look like.

    Attributes:
        boxes, times: paths with {tracker}, {config} and {name}; no times where None.
        form, separator: of the numbers of a box; "%d" cuts fractions off.
        time_form: of the seconds of a frame.
        packed: whether all goes into one zip archive.
    """

    boxes: str
    times: str | None
    form: str = BOX_FORM
    separator: str = ","
    time_form: str = TIME_FORM
    packed: bool = False

    def texts(self, name: str, result: TrackResult, tracker: str, config: str) -> Iterator[tuple[str, str]]:
        """Path and content of each file of a video.

        Raises:
            InputError: times are wanted and not known.
        """
        words = {"name": name, "tracker": tracker, "config": config}
        yield self.boxes.format(**words), format_rows(self._fitting(result.boxes), self.form, self.separator)
        if self.times is None:
            return
        if result.seconds is None:
            raise InputError(f"video {name} has no times beside {result.path}; run the evaluation again")
        yield self.times.format(**words), format_rows(result.seconds[:, None], self.time_form)

    def _fitting(self, boxes: np.ndarray) -> np.ndarray:
        """Where fractions are cut off, a side keeps one pixel: no size may become 0."""
        if self.form != "%d":
            return boxes
        return np.concatenate((boxes[:, :2], np.maximum(boxes[:, 2:], 1)), axis=1)


_OSTRACK = "test/tracking_results/{tracker}/{config}"
_OSTRACK_FORMS = ("%d", "\t", "%f")
_BOXES, _TIMES = "{name}/{name}_001.txt", "{name}/{name}_time.txt"

LAYOUTS = {
    "got10k": Layout(f"GOT-10k/{{tracker}}/{_BOXES}", f"GOT-10k/{{tracker}}/{_TIMES}"),
    "got10k_lasot": Layout("LaSOT/{tracker}/{name}.txt", "LaSOT/{tracker}/times/{name}_time.txt"),
    "lasot_matlab": Layout("tracking_results/{tracker}_tracking_result/{name}.txt", None),
    "ostrack": Layout(f"{_OSTRACK}/{{name}}.txt", f"{_OSTRACK}/{{name}}_time.txt", *_OSTRACK_FORMS),
    "ostrack_got10k": Layout(
        f"{_OSTRACK}/got10k/{{name}}.txt", f"{_OSTRACK}/got10k/{{name}}_time.txt", *_OSTRACK_FORMS
    ),
    "ostrack_trackingnet": Layout(
        f"{_OSTRACK}/trackingnet/{{name}}.txt", f"{_OSTRACK}/trackingnet/{{name}}_time.txt", *_OSTRACK_FORMS
    ),
    "ostrack_submission": Layout(_BOXES, _TIMES, "%d", ",", "%f", packed=True),
    "submission": Layout(_BOXES, _TIMES, packed=True),
    "trackingnet": Layout("{name}.txt", None, packed=True),
}


def export(layout: Layout, output: Path, results: Mapping[str, TrackResult], tracker: str, config: str) -> int:
    """Write results in a layout. Nothing is removed; files of the same names are replaced.

    Args:
        layout: one of `LAYOUTS`.
        output: folder under which the files go, or the archive of a packed layout.
        results: by the name of the video.
        tracker, config: names in the paths of some layouts.

    Returns:
        The number of files.

    Raises:
        InputError: a name cannot be part of a path, times are missing, or the output cannot be written to.
    """
    for word in (tracker, config):
        if word in ("", ".", "..") or Path(word).name != word:
            raise InputError(f"{word!r} cannot be the name of a folder; use a plain word")
    texts = [pair for name, result in results.items() for pair in layout.texts(name, result, tracker, config)]
    if layout.packed:
        make_output_folder(output.absolute().parent)
        with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
            for path, text in texts:
                packed.writestr(path, text)
    else:
        make_output_folder(output)
        for path, text in texts:
            write_text(output / path, text)
    return len(texts)
