"""What the sets of `datasets.test.sets` tell of scored results, beyond the means of DAVIS."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from evaluation.metrics import RECALL_THRESHOLD
from evaluation.scoring import ObjectScore, Scores, align, format_table, write_csv, write_rows
from util.files import make_output_folder

Measure = Callable[[ObjectScore], float]

CUT = 27.0  # mean difference of hue, saturation and brightness, of 0..255, as PySceneDetect's ContentDetector
SEEN_SIZE = (96, 54)  # in which frames are compared, width and height in pixels


def deviation(score: ObjectScore) -> float:
    """Standard deviation of J&F over the frames (V of LVOS, arXiv:2404.19326): how unsteady the masks are."""
    return float(np.std((score.j_values + score.f_values) / 2))


def last_quarter(score: ObjectScore) -> float:
    """Mean J of the last quarter of the frames (J_tr of VOST, arXiv:2212.06200): what is left after the change."""
    return float(np.mean(score.j_values[math.floor(0.75 * len(score.j_values)) :]))


def disappearance(score: ObjectScore) -> float:
    """Mean over the stretches without object, but for one at the beginning, of their mean J&F (MOSE v2)."""
    return _mean_of_stretches(score, present=False)


def reappearance(score: ObjectScore) -> float:
    """Mean over the stretches with which the object comes back of their mean J&F (MOSE v2)."""
    return _mean_of_stretches(score, present=True)


def _mean_of_stretches(score: ObjectScore, *, present: bool) -> float:
    """The mean of J and the adaptive F in each stretch that follows one of the other kind; NaN where there is none."""
    changes = np.flatnonzero(np.diff(score.present.astype(np.int8))) + 1
    quality = (score.j_values + score.adaptive_f) / 2
    bounds = [*changes.tolist(), len(quality)]
    means = [quality[a:b].mean() for a, b in pairwise(bounds) if score.present[a] == present]
    return float(np.mean(means)) if means else math.nan


def recall_after_cut(
    score: ObjectScore, cuts: Mapping[str, Sequence[int]], order: Mapping[str, Mapping[str, int]]
) -> float:
    """The share of the shots behind a cut in which the first frame that shows the object has a J above 0.5.

    Args:
        score: of the object.
        cuts: for each sequence the positions of the frames with which a new shot begins.
        order: for each sequence the position of each frame.
    """
    positions = [order[score.sequence][frame] for frame in score.frames]
    shots = np.searchsorted(cuts[score.sequence], positions, side="right")
    first: dict[int, float] = {}
    for shot, present, j in zip(shots.tolist(), score.present.tolist(), score.j_values.tolist(), strict=True):
        if shot and present:
            first.setdefault(shot, j)
    return float(np.mean([j > RECALL_THRESHOLD for j in first.values()])) if first else math.nan


def find_cuts(video: AnnotatedVideo) -> list[int]:
    """Positions of the frames that differ from the one before as only a new shot does."""
    found, last = [], None
    for position, item in enumerate(video.source.items(0, len(video.source.names))):
        small = cv2.resize(video.source.load(item), SEEN_SIZE, interpolation=cv2.INTER_AREA)
        seen = cv2.cvtColor(small, cv2.COLOR_RGB2HSV_FULL).astype(np.int16)
        if last is not None and _difference(seen, last) > CUT:
            found.append(position)
        last = seen
    return found


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of two frames (H, W, 3) in hue, a circle of 256, saturation and brightness."""
    difference = np.abs(a - b)
    difference[..., 0] = np.minimum(difference[..., 0], 256 - difference[..., 0])
    return float(difference.mean())


def _adaptive(score: ObjectScore) -> float:
    return float(np.mean(score.adaptive_f))


MEASURES: dict[str, Measure] = {
    "J&F": lambda score: (score.j.mean + score.f.mean) / 2,
    "J": lambda score: score.j.mean,
    "F": lambda score: score.f.mean,
    "J-Recall": lambda score: score.j.recall,
    "F-Recall": lambda score: score.f.recall,
    "J_tr": last_quarter,
    "V": deviation,
    "F_dot": _adaptive,
    "J&F_dot": lambda score: (score.j.mean + _adaptive(score)) / 2,
    "J&F_dot_d": disappearance,
    "J&F_dot_r": reappearance,
}
AFTER_CUT = "J-Recall_cut"


def report_scores(scores: Scores, dataset: VideoSet, folder: Path) -> None:
    """Print the scores that a set asks for and save them as `{global,per-sequence}_results-<split>.csv`.

    Args:
        scores: of the results.
        dataset: the videos.
        folder: of the tables; created where it is missing.

    Raises:
        InputError: the folder cannot be written to.
    """
    if not dataset.scoring.measures:
        write_csv(scores, folder, dataset.split)
        print(format_table(scores))
        return
    columns = dataset.scoring.measures
    measures = {name: MEASURES[name] for name in columns if name != AFTER_CUT}
    if AFTER_CUT in columns:
        cuts = {video.name: find_cuts(video) for video in dataset.videos}
        order = {video.name: {name: i for i, name in enumerate(video.source.names)} for video in dataset.videos}
        measures[AFTER_CUT] = partial(recall_after_cut, cuts=cuts, order=order)
        print(f"cuts found: {', '.join(f'{name} {len(found)}' for name, found in cuts.items())}")
    rows = [[measures[name](score) for name in columns] for score in scores.objects]
    totals = dict(zip(columns, _means(rows), strict=True))
    if dataset.scoring.grouped:
        totals = _group_totals(scores, dataset, rows)
    shown = [(score.name, *map(_shown, row)) for score, row in zip(scores.objects, rows, strict=True)]
    print("\n".join(align([("Sequence", *columns), *shown])))
    print("\n".join(align([("Global", *totals), ("", *map(_shown, totals.values()))])))
    folder = make_output_folder(folder)
    write_rows(folder / f"global_results-{dataset.split}.csv", [list(totals), list(map(_shown, totals.values()))])
    write_rows(folder / f"per-sequence_results-{dataset.split}.csv", [("Sequence", *columns), *shown])


def _group_totals(scores: Scores, dataset: VideoSet, rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """Means over the seen and over the unseen objects, and the means of the two, of which J&F is made.

    Where nobody tells which objects are unseen, or all are of one kind, the means are those of all objects.
    """
    kinds = [dataset.is_unseen(score.sequence, score.object_id) for score in scores.objects]
    columns, totals = dataset.scoring.measures, {}
    groups = {"seen": [r for r, k in zip(rows, kinds, strict=True) if k is False]}
    groups["unseen"] = [r for r, k in zip(rows, kinds, strict=True) if k]
    if None in kinds:
        print(
            "seen and unseen objects are not told apart: the list of the unseen ones is missing, see docs/datasets.md"
        )
    for place, column in enumerate(columns):
        means = {name: _means(group)[place] for name, group in groups.items() if group and None not in kinds}
        totals[column] = float(np.mean(list(means.values()))) if means else _means(rows)[place]
        totals |= {f"{column}_{name}": mean for name, mean in means.items()}
    return {"J&F": (totals["J"] + totals["F"]) / 2, **totals}


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each column over the rows that have a value; NaN where none has."""
    values = np.array(rows, np.float64)
    return [float(np.nanmean(c)) if not np.isnan(c).all() else math.nan for c in values.T]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
