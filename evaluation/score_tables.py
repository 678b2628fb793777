"""Scores of objects and of whole result trees, and how they are shown and saved."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation.metrics import Statistics, statistics
from util.errors import InputError
from util.files import atomic_path, make_output_folder, real_path

MEASURES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


@dataclass(frozen=True, eq=False)
class ObjectScore:
    """One object of one sequence: J and F of its scored frames in temporal order, shape (T,), in [0, 1].

    `frames` are the names of these frames, as their annotations are named.
    """

    sequence: str
    object_id: int
    j_values: np.ndarray
    f_values: np.ndarray
    frames: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The object's row in the DAVIS tables, `<sequence>_<id>`."""
        return f"{self.sequence}_{self.object_id}"

    @cached_property
    def j(self) -> Statistics:
        """Mean, recall and decay of the region similarity."""
        return statistics(self.j_values)

    @cached_property
    def f(self) -> Statistics:
        """Mean, recall and decay of the contour accuracy."""
        return statistics(self.f_values)

    @property
    def measures(self) -> tuple[float, ...]:
        """The values of `MEASURES`."""
        return _measures(self.j, self.f)


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a result tree. Its statistics are means over all objects, not over sequences."""

    objects: tuple[ObjectScore, ...]

    @property
    def j(self) -> Statistics:
        """Mean, recall and decay of the region similarity."""
        return Statistics(*np.mean([score.j for score in self.objects], axis=0).tolist())

    @property
    def f(self) -> Statistics:
        """Mean, recall and decay of the contour accuracy."""
        return Statistics(*np.mean([score.f for score in self.objects], axis=0).tolist())

    @property
    def measures(self) -> tuple[float, ...]:
        """The values of `MEASURES`."""
        return _measures(self.j, self.f)

    @property
    def jf_mean(self) -> float:
        """J&F-Mean, the number that DAVIS ranks by."""
        return self.measures[0]


def format_table(scores: Scores) -> str:
    """A text table with one row per object and the means over all objects as the last row."""
    rows = [("Sequence", *MEASURES)]
    rows += [(score.name, *_three_decimals(score.measures)) for score in scores.objects]
    rows.append(("Global", *_three_decimals(scores.measures)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def score_folder(results: Path, folder: Path | None = None) -> Path:
    """Where the tables of a result tree are saved: `folder`, by default `<results>-scores` beside the tree.

    Raises:
        InputError: `folder` lies inside the result tree, where tables would spoil an upload.
    """
    results = real_path(results)
    if folder is None:
        return results.with_name(f"{results.name}-scores")
    if real_path(folder).is_relative_to(results):
        raise InputError(f"score folder {folder} lies inside the results {results}; choose a folder outside of them")
    return Path(folder)


def write_csv(scores: Scores, folder: Path, name: str) -> tuple[Path, Path]:
    """Save the tables of the DAVIS toolkit: `global_results-<name>.csv` and `per-sequence_results-<name>.csv`.

    Args:
        folder: created where it is missing; see `score_folder`.
        name: the name of the set, such as val.

    Returns:
        The paths of the global and of the per-sequence table.

    Raises:
        InputError: the folder cannot be written to, or the name cannot be part of a file name.
    """
    if not name or Path(name).name != name:
        raise InputError(f"{name!r} cannot be the name of a set; use a plain word such as val")
    folder = make_output_folder(folder)
    global_table = folder / f"global_results-{name}.csv"
    sequence_table = folder / f"per-sequence_results-{name}.csv"
    _write_rows(global_table, [MEASURES, _three_decimals(scores.measures)])
    rows = [(score.name, *_three_decimals((score.j.mean, score.f.mean))) for score in scores.objects]
    _write_rows(sequence_table, [("Sequence", "J-Mean", "F-Mean"), *rows])
    return global_table, sequence_table


def _measures(j: Statistics, f: Statistics) -> tuple[float, ...]:
    return ((j.mean + f.mean) / 2, *j, *f)


def _three_decimals(values: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def _write_rows(path: Path, rows: Iterable[Iterable[str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
