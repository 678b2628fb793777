"""Segmenting one video into a folder of masks."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from util.device import autocast, from_device, to_device
from util.images import read_written_ids
from util.png_writer import PngWriter
from util.progress import Progress
from util.recorders import Recorder, Result
from util.result_folder import atomic_folder
from util.video import Frame, Pass, Video

Item = TypeVar("Item")


class Core(Protocol):
    """An inference core: segments the frames of one video in order."""

    report: object
    objects: tuple[int, ...]

    def step(self, image: Tensor, mask: Tensor | None, objects: Sequence[int] | None) -> Tensor:
        """Image (3,h,w) and, where given, mask (J,h,w) of `objects` -> probabilities (K+1,h,w), background first."""
        ...

    def steps(self, images: Tensor) -> Iterator[Tensor]:
        """Images (F,3,h,w) without masks -> probabilities (K+1,h,w) of each; `report` follows."""
        ...


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


@dataclass(frozen=True)
class Segmented:
    """A frame whose masks are asked of the device, and may still be in the making.

    Attributes:
        ids: waits for the masks and gives the object ids (H, W), uint8, or uint16 where the video has one above 255.
        probabilities: (K+1,H,W) that the ids are the arg max of.
        objects: their rows behind the background.
        report: of the core.
    """

    ids: Callable[[], np.ndarray]
    probabilities: Tensor
    objects: tuple[int, ...] = ()
    report: object = None


@dataclass(frozen=True)
class Engine:
    """What segments frames.

    Attributes:
        new_core: gives a fresh core for a video.
        device: where it works.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        frame_batch: most frames that the core is given at a time.
        ahead: frames that are asked of the device before the masks of an earlier one are waited for.
        count_compiled: how many graphs have been compiled so far.
    """

    new_core: Callable[[Video], Core]
    device: torch.device
    amp: str = "off"
    frame_batch: int = 1
    ahead: int = 0
    count_compiled: Callable[[], int] = int

    def segment(self, core: Core, frames: Sequence[Frame], video: Video) -> Iterator[Segmented]:
        """Each frame's masks in the size of the video's results; several frames are without given masks."""
        with torch.inference_mode(), autocast(self.device, self.amp):
            if len(frames) > 1:
                found = core.steps(to_device(torch.stack([frame.image for frame in frames]), self.device))
            else:
                found = iter([self._step(core, frames[0])])
        for _ in frames:
            with torch.inference_mode():
                with autocast(self.device, self.amp):
                    probabilities = next(found).float()
                probabilities = video.restore(probabilities)
                labels = probabilities.max(dim=0).indices  # on a CPU several times as fast as argmax
                labels = from_device(labels.to(torch.uint8) if len(probabilities) <= 256 else labels)
            ids = np.array((0, *core.objects), np.uint8 if max(video.objects) <= 255 else np.uint16)
            yield Segmented(partial(_ids_of, ids, labels), probabilities, core.objects, core.report)

    def _step(self, core: Core, frame: Frame) -> Tensor:
        mask = None if frame.mask is None else to_device(frame.mask, self.device)
        return core.step(to_device(frame.image, self.device), mask, frame.objects or None)

    def batches(self, frames: Iterator[Frame]) -> Iterator[list[Frame]]:
        """Frames in batches; one with a mask comes alone."""
        batch: list[Frame] = []
        for frame in frames:
            if frame.mask is not None:
                yield from [batch] if batch else []
                batch = []
            batch.append(frame)
            if frame.mask is not None or len(batch) == self.frame_batch:
                yield batch
                batch = []
        if batch:
            yield batch


def _ids_of(ids: np.ndarray, labels: Callable[[], Tensor]) -> np.ndarray:
    return ids[labels().numpy()]


def segment_video(
    video: Video,
    engine: Engine,
    folder: Path,
    write_mask: Callable[[Path, np.ndarray], None],
    recorders: Callable[[Path], Sequence[Recorder]],
    progress: Progress,
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
    """
    speed = Speed()
    simple = len(video.passes) == 1 and not video.passes[0].reverse
    with atomic_folder(folder) as partial, ExitStack() as stack:
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
    for batch in engine.batches(frames):
        results = engine.segment(core, batch, video)
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
