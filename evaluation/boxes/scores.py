"""Scores of tracked boxes: measures, tables and curves.

The measures equal those of OSTrack's analysis for LaSOT and of the GOT-10k toolkit.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.boxes.boxes import is_whole_box, read_boxes
from datasets.boxes.trees import UAV123, BoxTree, GOT10k, LaSOT
from evaluation.boxes.results import read_result
from evaluation.report.plots import figure, object_colour
from evaluation.scoring import align, write_rows
from util.errors import InputError
from util.files import make_output_folder

IOU_THRESHOLDS = np.linspace(0, 1, 21)
PIXEL_THRESHOLDS = np.arange(51.0)
RELATIVE_THRESHOLDS = np.arange(51) / 100
PRECISION_PIXELS, PRECISION_RELATIVE = 20.0, 0.2
FAILED_IOU, FAILED_DISTANCE = -1.0, math.inf
PANEL_WIDTH, PANEL_HEIGHT, LEGEND_ROW = 400, 360, 18  # pixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FrameScores:
    """What counts of each scored frame of one video, or of several.

    Attributes:
        ious: (F,) in [0, 1]; -1 for a frame that cannot be won.
        pixels: distance (F,) of the centres in pixels; infinite for such a frame.
        relative: the same (F,) with each coordinate divided by the true width or height.
    """

    ious: np.ndarray
    pixels: np.ndarray
    relative: np.ndarray

    @property
    def success(self) -> np.ndarray:
        """Share of frames whose IoU is above each of `IOU_THRESHOLDS`, (21,)."""
        return _share(self.ious[:, None] > IOU_THRESHOLDS)

    @property
    def precision(self) -> np.ndarray:
        """Share of frames whose distance is at most each of `PIXEL_THRESHOLDS`, (51,)."""
        return _share(self.pixels[:, None] <= PIXEL_THRESHOLDS)

    @property
    def normalised_precision(self) -> np.ndarray:
        """Share of frames whose relative distance is at most each of `RELATIVE_THRESHOLDS`, (51,)."""
        return _share(self.relative[:, None] <= RELATIVE_THRESHOLDS)

    @classmethod
    def join(cls, parts: Sequence["FrameScores"]) -> "FrameScores":
        """All frames of these parts."""
        fields = ("ious", "pixels", "relative")
        return cls(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


@dataclass(frozen=True)
class Rules:
    """How a benchmark sums up.

    Attributes:
        measures: names and functions, whose values are in [0, 1].
        pooled: whether the frames of all videos are taken together; else each video weighs the same.
    """

    measures: dict[str, Callable[[FrameScores], float]]
    pooled: bool


LASOT_RULES = Rules(
    {
        "AUC": lambda frames: float(frames.success.mean()),
        "OP50": lambda frames: float(_share(frames.ious > 0.5)),
        "OP75": lambda frames: float(_share(frames.ious > 0.75)),
        "Precision": lambda frames: float(_share(frames.pixels <= PRECISION_PIXELS)),
        "Norm Precision": lambda frames: float(_share(frames.relative <= PRECISION_RELATIVE)),
        "Norm Precision AUC": lambda frames: float(frames.normalised_precision.mean()),
    },
    pooled=False,
)
GOT10K_RULES = Rules(
    {
        "AO": lambda frames: float(_share(frames.ious.clip(0))),
        "SR50": lambda frames: float(_share(frames.ious > 0.5)),
        "SR75": lambda frames: float(_share(frames.ious > 0.75)),
    },
    pooled=True,
)


@dataclass(frozen=True, eq=False)
class VideoScore:
    """A tracked video.

    Attributes:
        name: of the video.
        frames: what is scored.
        fps: frames per second; NaN where that is not known.
    """

    name: str
    frames: FrameScores
    fps: float


@dataclass(frozen=True, eq=False)
class BoxScores:
    """The results of one tracker on a benchmark.

    Attributes:
        label: name of the tracker.
        videos: at least one.
        rules: of the benchmark.
    """

    label: str
    videos: tuple[VideoScore, ...]
    rules: Rules

    @property
    def measures(self) -> dict[str, float]:
        """The benchmark's measures in [0, 1]; NaN where no frame is scored."""
        return {name: float(self.sum_up(measure)) for name, measure in self.rules.measures.items()}

    @property
    def fps(self) -> float:
        """Mean of the videos' frames per second; NaN where one is not known."""
        return float(np.mean([video.fps for video in self.videos]))

    def sum_up(self, measure: Callable[[FrameScores], float | np.ndarray]) -> np.ndarray:
        """A measure of frames, or a curve (C,), over all videos as the rules have it."""
        return np.mean([np.asarray(measure(part)) for part in self._parts], axis=0)

    @cached_property
    def _parts(self) -> list[FrameScores]:
        parts = [video.frames for video in self.videos]
        return [FrameScores.join(parts)] if self.rules.pooled else parts


def score_tree(
    tree: BoxTree,
    results: Path,
    label: str,
    advance: Callable[[str], object] = lambda name: None,
    *,
    compat: bool = False,
) -> BoxScores:
    """Score the results of a tracker.

    Args:
        tree: the dataset.
        results: folder of the results, as `read_result` takes it.
        label: name of the tracker.
        advance: called with the name of each video that is scored.
        compat: count lost frames as the published analysis does, see `score_lasot`.

    Raises:
        InputError: there are no true boxes, a video's results are missing or of another number of frames, or a file
            cannot be read.
    """
    if not tree.has_truth:
        raise InputError(
            f"{tree.kind} has no true boxes; pack the results by scripts/pack_boxes.py and send them to the server"
        )
    videos = []
    for name in tree.names:
        path = tree.truth(name)
        result, truth = read_result(results, name), read_boxes(path)
        if len(result.boxes) != len(truth):
            raise InputError(
                f"{result.path} has {len(result.boxes)} rows but {path} {len(truth)}; are these"
                " results of another dataset? Run the evaluation of this video again"
            )
        _warn_of_odd_boxes(result.path, result.boxes, path, truth)
        advance(name)
        if isinstance(tree, GOT10k):
            frames = score_got10k(result.boxes, truth, tree.cover(name, len(truth)), tree.resolution(name))
        else:
            visible = tree.visible(name, len(truth))
            frames = score_lasot(result.boxes, truth, visible, published_hits(tree, visible) if compat else None)
            if compat and isinstance(tree, UAV123):
                frames.pixels[frames.ious < 0] = 0
        videos.append(VideoScore(name, frames, result.fps))
    return BoxScores(label, tuple(videos), GOT10K_RULES if isinstance(tree, GOT10k) else LASOT_RULES)


def published_hits(tree: BoxTree, visible: np.ndarray) -> np.ndarray:
    """The frames of a video in which the published analysis takes a lost frame for a hit of Norm Precision.

    In LaSOT those in which the object is in view, (T,) bool; in other sets all, and in UAV123 of Precision as well.
    """
    return visible if type(tree) is LaSOT else np.ones_like(visible)


def _warn_of_odd_boxes(path: Path, boxes: np.ndarray, truth_path: Path, truth: np.ndarray) -> None:
    """Say what is odd about results (T, 4) or the true boxes (T, 4), but may be meant."""
    negative = int((truth[:, 2:] < 0).any(1).sum())
    if negative:
        logger.warning("boxes of negative size in %s, which count as lost: %d", truth_path, negative)
    if is_whole_box(truth[0]) and not box_ious(boxes[:1], truth[:1])[0]:
        logger.warning("the first box of %s lies beside that of %s; are these results of it?", path, truth_path)


def score_lasot(
    boxes: np.ndarray, truth: np.ndarray, visible: np.ndarray, hits: np.ndarray | None = None
) -> FrameScores:
    """Score a video as OSTrack's analysis scores LaSOT and other sets.

    The first box is replaced by the true one. A box without size is replaced by the one before. Every frame counts;
    those in which the object is hidden, out of view or without a true size are lost.

    Args:
        boxes: found (T, 4).
        truth: true (T, 4); may hold NaN.
        visible: whether the object is in view, (T,) bool.
        hits: in which frames one that is lost counts as a hit of Norm Precision, as in the published analysis, (T,)
            bool; None for none.
    """
    boxes = boxes.copy()
    boxes[0] = truth[0]
    for t in range(1, len(boxes)):
        if (boxes[t, 2:] == 0).any():
            boxes[t] = boxes[t - 1]
    return _compare(boxes, truth, visible, hits)


def score_got10k(boxes: np.ndarray, truth: np.ndarray, cover: np.ndarray, size: tuple[int, int]) -> FrameScores:
    """Score a video as the GOT-10k toolkit does: without the first frame and those where nothing of the object shows.

    Args:
        boxes: found (T, 4).
        truth: true (T, 4).
        cover: how much of the object shows, (T,), from 0 to 8.
        size: height and width of the frames, at which boxes are cut off.
    """
    scored = np.flatnonzero(cover > 0)
    scored = scored[scored > 0]
    found, true = (_cut(rows[scored], size) for rows in (boxes, truth))
    return _compare(found, true, np.ones(len(scored), bool))


def box_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (T,) of boxes (T, 4); 0 where both have no area."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    intersection = (high - low).clip(0).prod(1)
    union = first[:, 2:].prod(1) + second[:, 2:].prod(1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0).clip(0, 1)


def _compare(boxes: np.ndarray, truth: np.ndarray, visible: np.ndarray, hits: np.ndarray | None = None) -> FrameScores:
    won = visible & np.isfinite(truth).all(1) & (truth[:, 2:] > 0).all(1)
    count = len(truth)
    scores = FrameScores(np.full(count, FAILED_IOU), np.full(count, FAILED_DISTANCE), np.full(count, FAILED_DISTANCE))
    if hits is not None:
        scores.relative[hits] = 0
    boxes, truth = boxes[won], truth[won]
    way = boxes[:, :2] - truth[:, :2] + (boxes[:, 2:] - truth[:, 2:]) / 2
    scores.ious[won] = box_ious(boxes, truth)
    scores.pixels[won] = np.hypot(*way.T)
    scores.relative[won] = np.hypot(*(way / truth[:, 2:]).T)
    return scores


def _cut(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes cut at the image as the GOT-10k toolkit does: those that begin left of it or above move in, uncut there."""
    limit = np.array((size[1], size[0]))
    low = boxes[:, :2].clip(0, limit)
    return np.concatenate((low, boxes[:, 2:].clip(0, limit - low)), axis=1)


def _share(values: np.ndarray) -> np.ndarray:
    """Mean over the frames; NaN where there are none."""
    return values.mean(0) if len(values) else np.full(values.shape[1:], np.nan)


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
    write_rows(paths[0], tracker_rows(scores))
    write_rows(paths[1], video_rows(scores))
    write_curves(paths[2], scores)
    print("saved " + ", ".join(map(str, paths)))


def format_table(scores: Sequence[BoxScores]) -> str:
    """The rows of `tracker_rows` as text."""
    lines = align(tracker_rows(scores))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def tracker_rows(scores: Sequence[BoxScores]) -> list[Sequence[str]]:
    """A head, and for each tracker its measures in percent and its frames per second."""
    rows: list[Sequence[str]] = [("Tracker", *scores[0].rules.measures, "FPS")]
    return rows + [(score.label, *_percent(score), f"{score.fps:.2f}") for score in scores]


def video_rows(scores: Sequence[BoxScores]) -> list[Sequence[str]]:
    """A head, and for each tracker and video the scored frames, the measures in percent and the frames per second."""
    rows: list[Sequence[str]] = [("Tracker", "Video", "Frames", *scores[0].rules.measures, "FPS")]
    for score in scores:
        for video in score.videos:
            alone = BoxScores(score.label, (video,), score.rules)
            count = str(len(video.frames.ious))
            rows.append((score.label, video.name, count, *_percent(alone), f"{video.fps:.2f}"))
    return rows


def _percent(score: BoxScores) -> list[str]:
    return [f"{100 * value:.2f}" for value in score.measures.values()]


def write_curves(path: Path, scores: Sequence[BoxScores]) -> None:
    """Draw the success curves of trackers, and their precision curves where the benchmark has them.

    Args:
        path: of the PNG.
        scores: one for each tracker, all by the same rules.
    """
    panels: list[tuple[str, str, np.ndarray, Callable[[FrameScores], np.ndarray]]] = [
        ("success", "IoU above, in %", IOU_THRESHOLDS * 100, lambda frames: frames.success)
    ]
    if not scores[0].rules.pooled:
        panels += [
            ("precision", "distance of centres up to, in pixels", PIXEL_THRESHOLDS, lambda frames: frames.precision),
            (
                "normalised precision",
                "up to, in % of the size",
                RELATIVE_THRESHOLDS * 100,
                lambda frames: frames.normalised_precision,
            ),
        ]
    rows = -(-len(scores) // (3 * len(panels)))
    with figure(path, PANEL_WIDTH * len(panels), PANEL_HEIGHT + LEGEND_ROW * rows) as drawn:
        all_axes = drawn.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, unit, thresholds, curve) in zip(all_axes, panels, strict=True):
            for number, score in enumerate(scores, start=1):
                axes.plot(thresholds, 100 * score.sum_up(curve), color=object_colour(number), label=score.label)
            axes.set(title=f"{title}: % of frames", xlabel=unit, xlim=(0, thresholds[-1]), ylim=(0, 100))
        names = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(*names, loc="outside upper left", ncols=3 * len(panels))
