"""Score a tree of segmented sequences against a tree of annotations, as the DAVIS toolkit does.

Both trees hold one folder per sequence with one PNG of object ids per frame. Beyond the toolkit, object ids may have
gaps and objects may appear late: an object is scored on the frames after the one that first shows it.
"""

import csv
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from datasets.mask_files import read_foreground, read_ids
from datasets.test.sets import DAVIS, Scoring
from evaluation.metrics import Statistics, adaptive_bound, boundary_f, jaccard, statistics
from util.errors import InputError
from util.files import atomic_path, make_output_folder, real_path
from util.images import is_clutter, list_images

VOID = 255
MEASURES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")

ObjectFrames = Mapping[str, Mapping[int, Collection[str]]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ObjectScore:
    """The scores of one object of one sequence in T scored frames, in temporal order.

    Attributes:
        sequence: its name.
        object_id: of the object.
        j_values: region similarity (T,), in [0, 1].
        f_values: contour accuracy (T,), in [0, 1].
        frames: names of the frames, as their annotations are named.
        switches: how often the object changes hands: more than half of it is covered by another id than the last one
            that covered more than half of it, at first its own.
        present: whether the annotation shows the object (T,), bool.
        adaptive_f: contour accuracy within `adaptive_bound` (T,), in [0, 1]; empty where it is not asked for.
    """

    sequence: str
    object_id: int
    j_values: np.ndarray
    f_values: np.ndarray
    frames: tuple[str, ...] = ()
    switches: int = 0
    present: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    adaptive_f: np.ndarray = field(default_factory=lambda: np.zeros(0))

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

    @property
    def switches(self) -> dict[str, int]:
        """By the names of the objects, those that change hands and how often, see `ObjectScore`."""
        return {score.name: score.switches for score in self.objects if score.switches}


def _measures(j: Statistics, f: Statistics) -> tuple[float, ...]:
    return ((j.mean + f.mean) / 2, *j, *f)


@dataclass
class _Track:
    """What is collected of one object while a sequence is read."""

    first_scored: int
    frames: list[str] = field(default_factory=list)
    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    holder: int = 0
    switches: int = 0
    present: list[bool] = field(default_factory=list)
    adaptive_f: list[float] = field(default_factory=list)


def score_results(
    results: Path,
    annotations: Path,
    sequences: Sequence[str],
    *,
    binary: bool = False,
    workers: int | None = None,
    rule: Scoring = DAVIS,
    frames: Mapping[str, Collection[str]] | None = None,
    object_frames: ObjectFrames | None = None,
    progress: Callable[[str], None] | None = None,
) -> Scores:
    """Score the result folders `results/<sequence>` against the annotation folders `annotations/<sequence>`.

    All folders are checked for missing frames before the first is scored.

    Args:
        sequences: names of the sequences; the scores keep their order.
        binary: take all labels above 0 as one object, in both trees (DAVIS 2016). A sequence whose annotations hold no
            labels but 0 and 255 is scored like that in any case.
        workers: sequences that are scored at the same time, in threads; by default one per processor, at most 8.
        rule: which frames count.
        frames: for each sequence the names of the mask files that count, where it is not all annotated ones.
        object_frames: for each sequence and object the names of the only frames that count, without their ending.
        progress: called with the name of each sequence that is finished.

    Raises:
        InputError: a folder or a result is missing or cannot be read, a result does not fit its annotation in size or
            ids, or nothing can be scored. A sequence of which nothing can be scored is left out beside others, which
            is said.
    """
    if not sequences:
        raise InputError("there are no sequences to score; name at least one")
    workers = min(8, os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"cannot score with {workers} workers; use at least 1")
    pairs = [
        pair_frames(Path(annotations) / name, Path(results) / name, None if frames is None else frames[name])
        for name in sequences
    ]

    def score(index: int) -> list[ObjectScore]:
        own = (object_frames or {}).get(sequences[index]) or None
        return score_sequence(sequences[index], *pairs[index], binary=binary, rule=rule, object_frames=own)

    scores = {}
    for index, objects in _map_unordered(score, len(sequences), workers):
        scores[index] = objects
        if progress is not None:
            progress(sequences[index])
    late = [annotations / name for index, name in enumerate(sequences) if not scores[index]]
    if len(late) == len(sequences):
        raise InputError(f"{late[0]} annotates no object before the frames to be scored; leave the sequence out")
    for folder in late:
        logger.warning("%s annotates no object before the frames to be scored, and is left out of the scores", folder)
    return Scores(tuple(score for index in range(len(sequences)) for score in scores[index]))


def score_sequence(
    name: str,
    annotations: Sequence[Path],
    results: Sequence[Path],
    *,
    binary: bool = False,
    rule: Scoring = DAVIS,
    object_frames: Mapping[int, Collection[str]] | None = None,
) -> list[ObjectScore]:
    """Score one sequence; one entry per object, in the order of their ids.

    The objects are the ids that occur in any annotation. Label 255 of the annotations is void and ignored, unless the
    sequence is binary. What is scored of an object that the first frame does not show is for the rule to say, by
    default what comes after its first annotation; one that first appears too late for that is left out. An object that
    a result lacks counts as an empty mask there. Result files of frames that are not scored are not read.

    Args:
        annotations, results: mask files of the same frames in temporal order, equally many.
        binary, rule: as in `score_results`.
        object_frames: for each object the names of the only frames that count, without their ending.

    Raises:
        InputError: a file cannot be read; a result's size differs from its annotation's or it holds an id that no
            annotation has; no annotation has an object.
    """
    if len(annotations) != len(results):
        raise ValueError(f"{len(annotations)} annotations but {len(results)} results")
    binary = binary or _holds_only_void(annotations)
    tracks, predicted = _follow_objects(annotations, results, binary, rule, object_frames)
    folder = annotations[0].parent
    if not tracks:
        raise InputError(f"the annotations in {folder} hold no object in any frame; leave the sequence out")
    for label in sorted(predicted.keys() - tracks.keys()):
        raise InputError(
            f"{predicted[label]} holds object {label}, but the annotations in {folder} have only"
            f" {', '.join(map(str, sorted(tracks)))}; keep their ids, or score all objects as one (binary)"
        )
    scored = [(label, track) for label, track in sorted(tracks.items()) if track.j]
    return [
        ObjectScore(
            *(name, label, np.array(track.j), np.array(track.f), tuple(track.frames)),
            switches=track.switches,
            present=np.array(track.present),
            adaptive_f=np.array(track.adaptive_f),
        )
        for label, track in scored
    ]


def pair_frames(annotations: Path, results: Path, only: Collection[str] | None = None) -> tuple[list[Path], list[Path]]:
    """The annotation files of a sequence, or `only` those of these names, and the result file of each, in their order.

    Files belong together when their names are equal. Results that are numbered by position (00000.png, 00001.png, ...)
    although the annotations are not are matched by position, if there are equally many.

    Raises:
        InputError: a folder or a result frame is missing, or only the first frame is annotated.
    """
    truths = [path for path in _list_masks(annotations) if only is None or path.name in only]
    if len(truths) < 2:
        raise InputError(
            f"{annotations} annotates only the first frame (like DAVIS test-dev), so that there is nothing to score"
            " against; score a set with public annotations, or submit the results to its server"
        )
    found = {path.stem: path for path in _list_masks(results)}
    missing = [path for path in truths if path.stem not in found]
    if not missing:
        return truths, [found[path.stem] for path in truths]
    numbered = all(stem.isdecimal() and int(stem) == position for position, stem in enumerate(found))
    if numbered and len(found) == len(truths):
        return truths, list(found.values())
    raise InputError(
        f"result frame {Path(results) / missing[0].stem}.png is missing"
        + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
        + "; run the evaluation of this sequence again"
    )


def annotated_sequences(annotations: Path) -> list[str]:
    """The names of all sequence folders in an annotation tree, sorted.

    Raises:
        InputError: the folder is missing or has no sub-folder.
    """
    annotations = Path(annotations)
    if not annotations.is_dir():
        raise InputError(f"annotation folder {annotations} does not exist; check the path")
    names = sorted(path.name for path in annotations.iterdir() if path.is_dir() and not is_clutter(path.name))
    if not names:
        raise InputError(f"annotation folder {annotations} has no sequence folders; give the folder that holds them")
    return names


def _map_unordered(
    function: Callable[[int], list[ObjectScore]], count: int, workers: int
) -> Iterator[tuple[int, list[ObjectScore]]]:
    """(index, function(index)) for all indices below `count`, as they finish; the first error cancels the rest."""
    if workers == 1:
        yield from ((index, function(index)) for index in range(count))
        return
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(function, index): index for index in range(count)}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _follow_objects(
    annotations: Sequence[Path],
    results: Sequence[Path],
    binary: bool,
    rule: Scoring,
    object_frames: Mapping[int, Collection[str]] | None,
) -> tuple[dict[int, _Track], dict[int, Path]]:
    """The annotated objects by id, with their scores, and for each id in the results the first file that holds it."""
    scored = range(int(rule.skip_first), len(annotations) - int(rule.skip_last))
    tracks: dict[int, _Track] = {}
    predicted: dict[int, Path] = {}
    said: set[Path] = set()
    for frame, (annotation, result) in enumerate(zip(annotations, results, strict=True)):
        truth = _read_labels(annotation, binary, said)
        for label in _labels(truth):
            if label != VOID and (frame == 0 or rule.late != "never"):
                tracks.setdefault(label, _Track(frame + 1 if frame and rule.late == "after" else frame, holder=label))
        if frame in scored:
            guess = _read_result(result, annotation, truth.shape, binary, said)
            for label in _labels(guess):
                predicted.setdefault(label, result)
            begun = {
                label: track
                for label, track in tracks.items()
                if track.first_scored <= frame
                and (object_frames is None or annotation.stem in object_frames.get(label, ()))
            }
            _score_frame(annotation.stem, truth, guess, begun, rule.adaptive)
    return tracks, predicted


def _score_frame(name: str, truth: np.ndarray, guess: np.ndarray, tracks: dict[int, _Track], adaptive: bool) -> None:
    void = truth == VOID
    void = void if void.any() else None
    for label, track in tracks.items():
        gt, seg = truth == label, guess == label
        track.frames.append(name)
        track.j.append(jaccard(gt, seg, void))
        track.f.append(boundary_f(gt, seg, void))
        covering = np.bincount(guess[gt], minlength=1)
        covering[0] = 0
        holder = int(covering.argmax())
        if 2 * covering[holder] > np.count_nonzero(gt):
            track.switches += holder != track.holder
            track.holder = holder
        track.present.append(bool(gt.any()))
        if adaptive:
            track.adaptive_f.append(boundary_f(gt, seg, void, adaptive_bound(gt)))


def _list_masks(folder: Path) -> list[Path]:
    masks = [path for path in list_images(folder) if path.suffix.lower() == ".png"]
    if not masks:
        raise InputError(f"folder {folder} holds no PNG masks; check the path and the name of the video")
    return masks


def _read_labels(path: Path, binary: bool, said: set[Path], *, checked: bool = True) -> np.ndarray:
    """The labels of a mask (H, W), uint8. Smoothed edges that count from half brightness on are said once a folder."""
    if not binary:
        return read_ids(path, checked=checked)
    mask, is_cut = read_foreground(path)
    if is_cut and path.parent not in said:
        said.add(path.parent)
        logger.warning("masks in %s have smooth edges and count from half brightness on", path.parent)
    return mask


def _read_result(path: Path, annotation: Path, shape: tuple[int, int], binary: bool, said: set[Path]) -> np.ndarray:
    labels = _read_labels(path, binary, said, checked=False)
    if labels.shape != shape:
        sizes = [f"{width}x{height}" for height, width in (labels.shape, shape)]
        raise InputError(
            f"{path} has the size {sizes[0]}, but its annotation {annotation} has {sizes[1]};"
            " write the results in the size of the annotations"
        )
    return labels


def _labels(labels: np.ndarray) -> list[int]:
    """The labels above 0 that occur in a mask, ascending."""
    histogram = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return [label for label in np.flatnonzero(histogram).tolist() if label]


def _holds_only_void(annotations: Iterable[Path]) -> bool:
    """Whether 255 is the only label of a sequence, which makes it a binary one."""
    found = False
    for path in annotations:
        labels = _labels(read_ids(path, checked=False))
        if any(label != VOID for label in labels):
            return False
        found = found or bool(labels)
    return found


def format_table(scores: Scores) -> str:
    """A text table with one row per object and the means over all objects as the last row."""
    rows: list[Sequence[str]] = [("Sequence", *MEASURES)]
    rows += [(score.name, *_three_decimals(score.measures)) for score in scores.objects]
    rows.append(("Global", *_three_decimals(scores.measures)))
    lines = align(rows)
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
        folder: created where it is missing.
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
    write_rows(global_table, [MEASURES, _three_decimals(scores.measures)])
    rows = [(score.name, *_three_decimals((score.j.mean, score.f.mean))) for score in scores.objects]
    write_rows(sequence_table, [("Sequence", "J-Mean", "F-Mean"), *rows])
    return global_table, sequence_table


def _three_decimals(values: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines of text: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV in UTF-8, which appears when it is whole."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def copy_first_masks(annotations: Path, output: Path, sequences: Sequence[str]) -> None:
    """Write the first annotation of each sequence as the result of all its frames.

    Args:
        annotations: a folder of masks for each sequence.
        output: where a folder of results for each sequence is written.
        sequences: their names.

    Raises:
        InputError: a sequence is missing or empty, `output` is not writable, or a file of the user is in the way.
    """
    for name in sequences:
        masks = list_images(annotations / name)
        folder = make_output_folder(output / name)
        for mask in masks:
            with atomic_path(folder / mask.name) as temporary:
                shutil.copyfile(masks[0], temporary)
