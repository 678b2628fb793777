"""A simulated user goes round after round through videos, as in the interactive track of DAVIS (Caelles et al., 2018).

First one click for each object on the first frame that shows any, then corrections on a bad frame; after each round the
masks are propagated, and all frames are scored. The bad frame is the worst by the true masks, as in DAVIS, or the one
that the session itself proposes by predicted quality. What counts as time is the work of the networks.
"""

import csv
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from datasets.frame_files import FrameFolder
from datasets.mask_files import VOID, drop_void, list_pairs, match_size, read_ids
from evaluation.metrics import boundary_f, jaccard
from evaluation.report.plots import figure, legend_above
from interactive.session import InteractiveSession
from model.simulated_user import correct_by_click
from util.errors import InputError
from util.files import atomic_path

MINUTE = 60.0
GOOD = 0.85
ENOUGH = 0.95  # IoU from which nobody clicks


class Way(NamedTuple):
    """Who chooses the frame that is corrected, `quality` or `truth`, and whether both sides are blended."""

    choice: str
    blends: bool

    def __str__(self) -> str:
        chosen = "predicted quality" if self.choice == "quality" else "true masks"
        return f"frame by {chosen}, {'both sides blended' if self.blends else 'the latest side counts'}"


WAYS = tuple(Way(choice, blends) for choice in ("quality", "truth") for blends in (False, True))


@dataclass(frozen=True)
class Round:
    """What a round came to.

    Attributes:
        video: its name.
        number: from 1.
        frame: that was corrected.
        clicks: in this and all earlier rounds, over all objects.
        seconds: in this and all earlier rounds.
        j, f: mean over objects and frames.
    """

    video: str
    number: int
    frame: int
    clicks: int
    seconds: float
    j: float
    f: float

    @property
    def score(self) -> float:
        """J&F."""
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class TrueVideo:
    """A video with true masks of all frames.

    Attributes:
        name: of the video.
        source: its frames.
        truth: ids (H,W), uint8, of each frame.
    """

    name: str
    source: FrameFolder
    truth: Sequence[np.ndarray]

    @classmethod
    def open(cls, tree: Path, name: str) -> "TrueVideo":
        """A video of a tree with JPEGImages/480p and Annotations/480p.

        Raises:
            InputError: a folder or a mask is missing or cannot be used.
        """
        frames, masks = (tree / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        source = FrameFolder(frames)
        pairs = list_pairs(frames, masks)
        if len(pairs) != len(source.names):
            raise InputError(
                f"{masks} has masks of {len(pairs)} of {len(source.names)} frames; rounds need all of them"
            )
        truth = drop_void([match_size(read_ids(mask), source.size, mask) for _, mask in pairs])
        return cls(name, source, [np.where(ids == VOID, np.uint8(1), ids) for ids in truth])  # left is the only object

    @property
    def objects(self) -> list[int]:
        """Ids of the objects."""
        return sorted({int(k) for ids in self.truth for k in np.unique(ids) if k})

    def scores(self, mask: Callable[[int], np.ndarray], objects: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """J and F, (K,N) each, of the session's masks; `objects` gives the session's id of each true one."""
        j, f = np.zeros((2, len(objects), len(self.truth)))
        for index, truth in enumerate(self.truth):
            ids = mask(index)
            for row, (k, own) in enumerate(objects.items()):
                j[row, index], f[row, index] = jaccard(truth == k, ids == own), boundary_f(truth == k, ids == own)
        return j, f


def simulate(
    session: InteractiveSession, video: TrueVideo, *, rounds: int, clicks: int, choice: str = "truth"
) -> Iterator[Round]:
    """Let the user go through a video.

    Args:
        session: of the video, without objects.
        video: with its true masks.
        rounds: at most; fewer where there is nothing left to correct.
        clicks: most clicks for each object in a round behind the first, which has one; 0: the user gives the true mask
            of the frame instead, which tells what propagation and the choice of frames are worth by themselves.
        choice: see `Way`.

    Raises:
        InputError: the video shows no object.
    """
    if not video.objects:
        raise InputError(f"the masks of {video.name} show no object; leave it out")
    objects = {k: session.add_object(str(k)) if clicks else k for k in video.objects}
    frame: int | None = next(index for index, ids in enumerate(video.truth) if ids.any())
    used, seconds = 0, 0.0
    for number in range(1, rounds + 1):
        if frame is None:
            return
        start = time.perf_counter()
        if clicks:
            used += _correct(session, video.truth[frame], frame, objects, clicks if number > 1 else 1)
        else:
            session.set_mask(frame, video.truth[frame])
        session.confirm(frame)
        for _ in session.propagate():
            pass
        seconds += time.perf_counter() - start
        j, f = video.scores(session.mask, objects)
        yield Round(video.name, number, frame, used, seconds, float(j.mean()), float(f.mean()))
        frame = session.neediest_frame() if choice == "quality" else _worst(j, session)


def _correct(session: InteractiveSession, truth: np.ndarray, frame: int, objects: Mapping[int, int], most: int) -> int:
    """Click on the errors of a frame; how many clicks it took."""
    count = 0
    for k, own in objects.items():
        for _ in range(most):
            mask = session.mask(frame) == own
            click = correct_by_click(truth == k, mask) if jaccard(truth == k, mask) < ENOUGH else None
            if click is None:
                break
            session.prompt(frame, own, click)
            count += 1
    return count


def _worst(j: np.ndarray, session: InteractiveSession) -> int | None:
    """The frame with the lowest J that was not corrected yet; None where all were."""
    free = [index for index in range(j.shape[1]) if index not in session.known.corrected]
    return min(free, key=lambda index: j[:, index].mean()) if free else None


def score_at(rounds: Sequence[Round], seconds: float) -> float:
    """J&F of a video after so many seconds: linear between rounds, as in DAVIS, from 0 at the beginning."""
    times, scores = [0.0, *(r.seconds for r in rounds)], [0.0, *(r.score for r in rounds)]
    return float(np.interp(seconds, times, scores))


def area_to(rounds: Sequence[Round], seconds: float) -> float:
    """Area below the curve of `score_at` up to so many seconds, divided by them: in [0, 1]."""
    points = sorted({0.0, seconds, *(r.seconds for r in rounds if r.seconds < seconds)})
    pairs = [(a, b, score_at(rounds, a), score_at(rounds, b)) for a, b in pairwise(points)]
    return sum((b - a) * (low + high) / 2 for a, b, low, high in pairs) / seconds


def by_video(rounds: Sequence[Round]) -> dict[str, list[Round]]:
    """The rounds of each video, in order."""
    found: dict[str, list[Round]] = defaultdict(list)
    for one in rounds:
        found[one.video].append(one)
    return found


def mean_scores(rounds: Sequence[Round], most: int) -> list[float]:
    """Mean J&F over the videos after each round; a video that ended earlier keeps its score."""
    videos = by_video(rounds).values()
    return [fmean(video[min(number, len(video)) - 1].score for video in videos) for number in range(1, most + 1)]


def rounds_table(results: Mapping[Way, Sequence[Round]], most: int) -> str:
    """What the ways came to: J&F after each round, after a minute, and how many rounds each video took until 85."""
    head = "".join(f"{number:>7}" for number in range(1, most + 1))
    lines = [f"{'J&F after round':<54}{head}{'60 s':>8}{'AUC 60 s':>10}"]
    for way, rounds in results.items():
        videos = by_video(rounds).values()
        scores = "".join(f"{100 * score:>7.1f}" for score in mean_scores(rounds, most))
        minute, area = (100 * fmean(of(video, MINUTE) for video in videos) for of in (score_at, area_to))
        lines.append(f"{way!s:<54}{scores}{minute:>8.1f}{area:>10.1f}")
    lines.append(f"rounds until {100 * GOOD:.0f}:")
    for way, rounds in results.items():
        until = {
            name: next((str(one.number) for one in video if one.score >= GOOD), "-")
            for name, video in by_video(rounds).items()
        }
        lines.append(f"{way!s:<54}  " + ", ".join(f"{name} {number}" for name, number in until.items()))
    return "\n".join(lines)


def write_rounds(path: Path, results: Mapping[Way, Sequence[Round]]) -> None:
    """Write all rounds as a CSV file."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("choice", "blends", "video", "round", "frame", "clicks", "seconds", "J", "F", "J&F"))
        for way, rounds in results.items():
            for one in rounds:
                numbers = (f"{one.seconds:.2f}", *(f"{value:.4f}" for value in (one.j, one.f, one.score)))
                writer.writerow((way.choice, int(way.blends), one.video, one.number, one.frame, one.clicks, *numbers))


def plot_rounds(path: Path, results: Mapping[Way, Sequence[Round]], most: int) -> None:
    """Draw mean J&F over rounds, a line for each way, and each video's beside it for the first one, as a PNG."""
    with figure(path, 900, 380) as drawn:
        means, videos = drawn.subplots(1, 2, sharey=True)
        numbers = range(1, most + 1)
        for way, rounds in results.items():
            style = "-" if way.blends else "--"
            colour = "#0072b2" if way.choice == "quality" else "#d55e00"
            means.plot(numbers, [100 * s for s in mean_scores(rounds, most)], style, color=colour, label=str(way))
        first, rounds = next(iter(results.items()))
        for name, found in by_video(rounds).items():
            videos.plot([one.number for one in found], [100 * one.score for one in found], label=name)
        for axes in (means, videos):
            axes.axhline(100 * GOOD, color="#999999", linewidth=0.8)
            axes.set_xlabel("round")
            axes.set_xticks(list(numbers))
        means.set_ylabel("J&F")
        legend_above(means, 1)
        videos.set_title(str(first), fontsize=8, loc="right", pad=34)
        legend_above(videos, 3)
