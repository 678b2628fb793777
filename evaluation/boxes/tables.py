"""How the scores of tracked boxes are shown and saved."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluation.boxes.chart import write_curves
from evaluation.boxes.scores import BoxScores
from util.files import atomic_path, make_output_folder

Row = Sequence[str]


def report_scores(scores: Sequence[BoxScores], folder: Path, name: str) -> None:
    """Print a table of trackers; save it, that of all videos, and the curves.

    Writes `boxes-<name>.csv`, `boxes-<name>-videos.csv` and `boxes-<name>.png`.

    Args:
        scores: one for each tracker, all by the same rules.
        folder: made where it is missing.
        name: of the dataset.

    Raises:
        InputError: the folder cannot be written to.
    """
    make_output_folder(folder)
    print(format_table(scores))
    paths = [folder / f"boxes-{name}{ending}" for ending in (".csv", "-videos.csv", ".png")]
    _write_rows(paths[0], tracker_rows(scores))
    _write_rows(paths[1], video_rows(scores))
    write_curves(paths[2], scores)
    print("saved " + ", ".join(map(str, paths)))


def format_table(scores: Sequence[BoxScores]) -> str:
    """The rows of `tracker_rows` as text."""
    rows = tracker_rows(scores)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def tracker_rows(scores: Sequence[BoxScores]) -> list[Row]:
    """A head, and for each tracker its measures in percent and its frames per second."""
    rows = [("Tracker", *scores[0].rules.measures, "FPS")]
    return rows + [(score.label, *_percent(score), f"{score.fps:.2f}") for score in scores]


def video_rows(scores: Sequence[BoxScores]) -> list[Row]:
    """A head, and for each tracker and video the scored frames, the measures in percent and the frames per second."""
    rows = [("Tracker", "Video", "Frames", *scores[0].rules.measures, "FPS")]
    for score in scores:
        for video in score.videos:
            alone = BoxScores(score.label, (video,), score.rules)
            count = str(len(video.frames.ious))
            rows.append((score.label, video.name, count, *_percent(alone), f"{video.fps:.2f}"))
    return rows


def _percent(score: BoxScores) -> list[str]:
    return [f"{100 * value:.2f}" for value in score.measures.values()]


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
