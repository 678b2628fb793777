"""The files that tracking toolkits and servers want of boxes and times."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.boxes.boxes import format_rows, write_text
from evaluation.boxes.results import BOX_FORM, TIME_FORM, TrackResult
from util.errors import InputError
from util.files import atomic_path, make_output_folder


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
_SUBMITTED = ("{name}/{name}_001.txt", "{name}/{name}_time.txt")

LAYOUTS = {
    "got10k": Layout(*(f"GOT-10k/{{tracker}}/{path}" for path in _SUBMITTED)),
    "got10k_lasot": Layout("LaSOT/{tracker}/{name}.txt", "LaSOT/{tracker}/times/{name}_time.txt"),
    "lasot_matlab": Layout("tracking_results/{tracker}_tracking_result/{name}.txt", None),
    "ostrack": Layout(f"{_OSTRACK}/{{name}}.txt", f"{_OSTRACK}/{{name}}_time.txt", *_OSTRACK_FORMS),
    "ostrack_got10k": Layout(
        f"{_OSTRACK}/got10k/{{name}}.txt", f"{_OSTRACK}/got10k/{{name}}_time.txt", *_OSTRACK_FORMS
    ),
    "ostrack_submission": Layout(*_SUBMITTED, "%d", ",", "%f", packed=True),
    "submission": Layout(*_SUBMITTED, packed=True),
}


def export(layout: Layout, output: Path, results: Mapping[str, TrackResult], tracker: str, config: str) -> int:
    """Write results in a layout. Nothing is removed; files of the same names are replaced.

    Args:
        layout: see `LAYOUTS`.
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
