"""Segmenting one video into a folder of masks."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets.mask_files import read_written_ids
from evaluation.png_writer import PngWriter
from evaluation.segmenter import Core, Engine, Segmented
from evaluation.video import Frame, Pass, Video
from evaluation.writers import Recorder, Result
from util.files import atomic_folder
from util.progress import Progress

Item = TypeVar("Item")


@dataclass
class Speed:
    """Frames done, and the seconds they took on the device (no reading and no writing); those of compiling apart."""

    frames: int = 0
    seconds: float = 0.0
    compiling_frames: int = 0
    compiling: float = 0.0

    @property
    def fps(self) -> float:
        """Frames per second, 0 before the first."""
        return self.frames / self.seconds if self.seconds else 0.0

    def __add__(self, other: "Speed") -> "Speed":
        return Speed(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def segment_video(
    video: Video,
    engine: Engine,
    folder: Path,
    write_mask: Callable[[Path, np.ndarray], None],
    recorders: Callable[[Path], Sequence[Recorder]],
    progress: Progress,
    request: dict[str, str] | None = None,
) -> Speed:
    """Segment a video into a folder, which appears when all its files and those of the recorders are on disk.

    Args:
        video: the video.
        engine: what segments it.
        folder: of the video's results.
        write_mask: writes the ids of one frame.
        recorders: are told every result; those that show frames in their order (`in_order`) are told afterwards where
            the video does not simply run forward. Made for the path at which the folder is filled.
        progress: advanced by one for each frame.
        request: what the results are made of, for the folder's record.
    """
    speed = Speed()
    simple = len(video.passes) == 1 and not video.passes[0].reverse
    with atomic_folder(folder, request) as partial, ExitStack() as stack:
        told = [stack.enter_context(recorder) for recorder in recorders(partial)]
        for way in video.passes:
            with PngWriter(write_mask) as writer:
                for result in _run_pass(video, way, engine, partial, progress, speed):
                    if video.wants(result.name):
                        writer.write(partial / f"{result.name}.png", result.ids)
                    for recorder in told:
                        if simple or not recorder.in_order:
                            recorder.add(result)
        if not simple:
            _replay(video, partial, [recorder for recorder in told if recorder.in_order])
    return speed


def _run_pass(
    video: Video, way: Pass, engine: Engine, folder: Path, progress: Progress, speed: Speed
) -> Iterator[Result]:
    """The results of a pass that are new."""
    core = engine.new_core(video)
    with closing(video.frames(way)) as frames:
        for frame, segmented, launching in _behind(_launch(engine, core, frames, video, speed), engine.ahead):
            start = time.perf_counter()
            ids = segmented.ids()
            waiting = time.perf_counter() - start
            speed.seconds += waiting
            progress.advance(video.name)
            masks = dict(zip(segmented.objects, segmented.probabilities[1:], strict=True))
            if way.merge_from is not None and frame.index >= way.merge_from:
                masks = {k: mask for k, mask in masks.items() if video.first_seen[k] > frame.index}
                if not masks:
                    continue
                ids = _add_objects(read_written_ids(folder / f"{frame.name}.png"), ids, list(masks))
            seconds = launching + waiting
            yield Result(frame.index, frame.name, frame.pixels, ids, masks, segmented.report, way.position, seconds)


def _launch(
    engine: Engine, core: Core, frames: Iterator[Frame], video: Video, speed: Speed
) -> Iterator[tuple[Frame, Segmented, float]]:
    """Each frame, its masks, and the seconds it took to ask for them; a frame that compiles is counted apart."""
    for batch, coming in _with_next(engine.batches(frames), known=engine.ahead > 0):
        results = engine.segment(core, batch, video, coming)
        for frame in batch:
            start, compiled = time.perf_counter(), engine.count_compiled()
            segmented = next(results)
            seconds = time.perf_counter() - start
            if engine.count_compiled() > compiled:
                speed.compiling_frames += 1
                speed.compiling += seconds
            else:
                speed.frames += 1
                speed.seconds += seconds
            yield frame, segmented, seconds


def _with_next(batches: Iterator[list[Frame]], *, known: bool) -> Iterator[tuple[list[Frame], list[Frame]]]:
    """Each batch and, if it is to be known, the one behind it; none behind the last."""
    return pairwise(chain(batches, [[]])) if known else ((batch, []) for batch in batches)


def _behind(items: Iterator[Item], distance: int) -> Iterator[Item]:
    """All items, each when so many more have been taken."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > distance:
            yield waiting.popleft()
    yield from waiting


def _add_objects(earlier: np.ndarray, ids: np.ndarray, added: Sequence[int]) -> np.ndarray:
    """The earlier ids, and where these are background the added objects of the others."""
    return np.where((earlier == 0) & np.isin(ids, added), ids, earlier)


def _replay(video: Video, folder: Path, recorders: Sequence[Recorder]) -> None:
    """Tell recorders of all finished frames in their order."""
    if not recorders:
        return
    with closing(video.frames(video.covered)) as frames:
        for frame in frames:
            path = folder / f"{frame.name}.png"
            if path.is_file():
                ids = read_written_ids(path)
                for recorder in recorders:
                    recorder.add(Result(frame.index, frame.name, frame.pixels, ids))
