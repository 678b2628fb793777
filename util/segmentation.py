"""Segmenting one video into a folder of masks."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from util.device import autocast, synchronise
from util.images import read_written_ids
from util.png_writer import PngWriter
from util.progress import Progress
from util.recorders import Recorder, Result
from util.result_folder import atomic_folder
from util.video import Frame, Pass, Video


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
    """Frames done, and the seconds they took on the device (no reading and no writing)."""

    frames: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Frames per second, 0 before the first."""
        return self.frames / self.seconds if self.seconds else 0.0

    def __add__(self, other: "Speed") -> "Speed":
        return Speed(self.frames + other.frames, self.seconds + other.seconds)


@dataclass(frozen=True)
class Engine:
    """What segments frames.

    Attributes:
        new_core: gives a fresh core for a video.
        device: where it works.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        frame_batch: most frames that the core is given at a time.
    """

    new_core: Callable[[Video], Core]
    device: torch.device
    amp: str = "off"
    frame_batch: int = 1

    def segment(self, core: Core, frames: Sequence[Frame], video: Video) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Each frame's object ids (H, W), and the probabilities (K+1,H,W) that they are the arg max of.

        Several frames are without masks.

        Both have the size of the video's results. Ids are uint8, or uint16 where the video has one above 255.
        """
        with torch.inference_mode(), autocast(self.device, self.amp):
            if len(frames) > 1:
                found = core.steps(torch.stack([frame.image for frame in frames]).to(self.device))
            else:
                found = iter([self._step(core, frames[0])])
        for _ in frames:
            with torch.inference_mode():
                with autocast(self.device, self.amp):
                    probabilities = next(found).float()
                probabilities = video.restore(probabilities)
                labels = probabilities.argmax(dim=0)
                labels = labels.to(torch.uint8) if len(probabilities) <= 256 else labels
            synchronise(self.device)
            ids = np.array((0, *core.objects), np.uint8 if max(video.objects) <= 255 else np.uint16)
            yield ids[labels.cpu().numpy()], probabilities

    def _step(self, core: Core, frame: Frame) -> Tensor:
        mask = None if frame.mask is None else frame.mask.to(self.device)
        return core.step(frame.image.to(self.device), mask, frame.objects or None)

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
        for frame, results in _with_results(engine, core, frames, video):
            start = time.perf_counter()
            ids, probabilities = next(results)
            seconds = time.perf_counter() - start
            speed.seconds += seconds
            speed.frames += 1
            progress.advance(video.name)
            masks = dict(zip(core.objects, probabilities[1:], strict=True))
            if way.merge_from is not None and frame.index >= way.merge_from:
                masks = {k: mask for k, mask in masks.items() if video.first_seen[k] > frame.index}
                if not masks:
                    continue
                ids = _add_objects(read_written_ids(folder / f"{frame.name}.png"), ids, list(masks))
            yield Result(frame.index, frame.name, frame.pixels, ids, masks, core.report, way.position, seconds)


def _with_results(
    engine: Engine, core: Core, frames: Iterator[Frame], video: Video
) -> Iterator[tuple[Frame, Iterator[tuple[np.ndarray, Tensor]]]]:
    """Each frame with the results that its own comes next from."""
    for batch in engine.batches(frames):
        results = engine.segment(core, batch, video)
        for frame in batch:
            yield frame, results


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
