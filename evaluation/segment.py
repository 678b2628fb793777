"""Segmenting one video: its frames through a core on a device, its masks into a folder."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from datasets.mask_files import read_written_ids
from datasets.test.annotated_video import AnnotatedVideo, Frame, Pass
from evaluation.writers import Result, Writer
from inference_core import FrameReport, Stream
from util.device import autocast
from util.errors import InputError
from util.files import atomic_folder
from util.progress import Progress
from util.tensors import from_device, most_likely, to_device


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


MakeWriters = Callable[[Path], Sequence[Writer]]


class VideoWorker(ABC):
    """What makes results of videos.

    Attributes:
        device: where it works.
    """

    device: torch.device

    @abstractmethod
    def run(
        self,
        video: AnnotatedVideo,
        folder: Path,
        write_mask: Callable[[Path, np.ndarray], None],
        make_writers: MakeWriters,
        progress: Progress,
        request: dict[str, str] | None = None,
    ) -> Speed:
        """Make the results of a video in a folder, which appears when all files, those of writers too, are on disk.

        Args:
            video: the video.
            folder: of the video's results.
            write_mask: writes the ids of one frame.
            make_writers: makes what else is to be written of every result, for the path at which the folder is filled;
                those that show frames in their order (`in_order`) get them afterwards where the video does not simply
                run forward.
            progress: advanced by one for each frame.
            request: what the results are made of, for the folder's record.

        Raises:
            InputError: a frame cannot be read, or a result is not finite.
            OSError: a result cannot be written.
        """


@dataclass(frozen=True)
class Segmenter(VideoWorker):
    """What segments videos.

    Attributes:
        new_core: gives a fresh core for a video.
        device: where it works.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        frame_batch: most frames that the core is given at a time.
        overlaps: the next frame is asked of the device before the masks of the present one are waited for.
        looks_ahead: what overlaps is also encoded beside the present frame, see `FeaturePrefetch`.
        count_compiled: how many graphs have been compiled so far.
    """

    new_core: Callable[[AnnotatedVideo], Stream]
    device: torch.device
    amp: str = "off"
    frame_batch: int = 1
    overlaps: bool = False
    looks_ahead: bool = False
    count_compiled: Callable[[], int] = int

    def run(
        self,
        video: AnnotatedVideo,
        folder: Path,
        write_mask: Callable[[Path, np.ndarray], None],
        make_writers: MakeWriters,
        progress: Progress,
        request: dict[str, str] | None = None,
    ) -> Speed:
        speed = Speed()
        simple = len(video.passes) == 1 and not video.passes[0].reverse
        with atomic_folder(folder, request) as partial, ExitStack() as stack:
            for name in video.blank_names:
                write_mask(partial / f"{name}.png", np.zeros(video.output_size, np.uint8))
            writers = [stack.enter_context(writer) for writer in make_writers(partial)]
            at_once = [writer for writer in writers if simple or not writer.in_order]

            def add_to_all(result: Result) -> None:
                for writer in at_once:
                    writer.add(result)

            for way in video.passes:
                with PngWriter(write_mask) as masks, Background(add_to_all, threads=1, capacity=4) as add:

                    def take(result: Result, masks: PngWriter = masks, add: Background = add) -> None:
                        if video.wants(result.name):
                            masks.write(partial / f"{result.name}.png", result.ids)
                        if at_once:
                            add(result)

                    _run_pass(video, way, self, partial, progress, speed, take)
            if not simple:
                _show_again(video, partial, [writer for writer in writers if writer.in_order])
        return speed


@dataclass(frozen=True)
class Asked:
    """A frame whose masks have been asked of the device.

    Attributes:
        frame: the frame.
        labels: waits for the row of the likeliest object in each place, (H,W).
        total: waits for the sum of all probabilities.
        probabilities: (K+1,H,W), in the size of the results.
        objects: their rows behind the background.
        report: of the core.
        seconds: that asking took.
    """

    frame: Frame
    labels: Callable[[], Tensor]
    total: Callable[[], Tensor]
    probabilities: Tensor
    objects: tuple[int, ...]
    report: FrameReport | None
    seconds: float


def _run_pass(
    video: AnnotatedVideo,
    way: Pass,
    segmenter: Segmenter,
    folder: Path,
    progress: Progress,
    speed: Speed,
    take: Callable[[Result], None],
) -> None:
    """Segment the frames of a pass; `take` gets the results that are new."""
    core = segmenter.new_core(video)

    def finish(asked: Asked) -> None:
        start = time.perf_counter()
        ids = _ids_of(asked, video)
        waited = time.perf_counter() - start
        speed.seconds += waited
        progress.advance(video.name)
        frame, masks = asked.frame, dict(zip(asked.objects, asked.probabilities[1:], strict=True))
        if way.merge_from is not None and frame.index >= way.merge_from:
            masks = {k: mask for k, mask in masks.items() if video.first_seen[k] > frame.index}
            if not masks:
                return
            ids = _add_objects(read_written_ids(folder / f"{frame.name}.png"), ids, list(masks))
        seconds = asked.seconds + waited
        if asked.report is not None:
            _ = asked.report.banks  # decided in the core's own thread, before those of writers ask
        take(Result(frame.index, frame.name, frame.pixels, ids, masks, asked.report, way.position, seconds))

    pending: Asked | None = None
    with (
        closing(video.frames(way, segmenter.device)) as frames,
        torch.inference_mode(),
        autocast(segmenter.device, segmenter.amp),
    ):
        batches = _batches(frames, segmenter)
        batch = next(batches, [])
        while batch:
            coming = next(batches, []) if segmenter.overlaps else []
            if segmenter.looks_ahead and len(coming) == 1 and coming[0].mask is None:
                core.prefetch(coming[0].image)
            for asked in _ask(core, batch, video, segmenter, speed):
                if pending is not None:
                    finish(pending)
                pending = asked
                if not segmenter.overlaps:
                    finish(pending)
                    pending = None
            batch = coming if segmenter.overlaps else next(batches, [])
        if pending is not None:
            finish(pending)


def _batches(frames: Iterator[Frame], segmenter: Segmenter) -> Iterator[list[Frame]]:
    """Frames in batches; one with a mask comes alone."""
    batch: list[Frame] = []
    for frame in frames:
        if frame.mask is not None and batch:
            yield batch
            batch = []
        batch.append(frame)
        if frame.mask is not None or len(batch) == segmenter.frame_batch:
            yield batch
            batch = []
    if batch:
        yield batch


def _ask(
    core: Stream, batch: Sequence[Frame], video: AnnotatedVideo, segmenter: Segmenter, speed: Speed
) -> Iterator[Asked]:
    """Ask the device for the masks of each frame; the time of a frame that compiles is counted apart."""
    found = core.steps(torch.stack([frame.image for frame in batch])) if len(batch) > 1 else None
    for frame in batch:
        start, compiled = time.perf_counter(), segmenter.count_compiled()
        if found is None:
            mask = None if frame.mask is None else to_device(frame.mask, segmenter.device)
            probabilities = core.step(frame.image, mask, frame.objects or None)
        else:
            probabilities = next(found)
        probabilities = video.restore(probabilities.float())
        rows = most_likely(probabilities)
        labels = from_device(rows.to(torch.uint8) if len(probabilities) <= 256 else rows)
        total = from_device(probabilities.sum())
        seconds = time.perf_counter() - start
        if segmenter.count_compiled() > compiled:
            speed.compiling_frames += 1
            speed.compiling += seconds
        else:
            speed.frames += 1
            speed.seconds += seconds
        yield Asked(frame, labels, total, probabilities, core.objects, core.report, seconds)


def _ids_of(asked: Asked, video: AnnotatedVideo) -> np.ndarray:
    """Wait for the object ids (H,W), uint8, or uint16 where the video has an id above 255.

    Raises:
        InputError: a probability is not finite.
    """
    if not math.isfinite(asked.total().item()):
        place = f"frame {asked.frame.name} of {video.name}"
        raise InputError(f"the probabilities in {place} are not finite; check the weights, or use --amp off")
    ids = np.array((0, *asked.objects), np.uint8 if max(video.objects) <= 255 else np.uint16)
    return ids[asked.labels().numpy()]


def _add_objects(earlier: np.ndarray, ids: np.ndarray, added: Sequence[int]) -> np.ndarray:
    """The earlier ids, and where these are background the added objects of the others."""
    return np.where((earlier == 0) & np.isin(ids, added), ids, earlier)


def _show_again(video: AnnotatedVideo, folder: Path, writers: Sequence[Writer]) -> None:
    """Give all finished frames to writers, in the order of the video."""
    if not writers:
        return
    with closing(video.frames(video.covered)) as frames:
        for frame in frames:
            path = folder / f"{frame.name}.png"
            if path.is_file():
                ids = read_written_ids(path)
                for writer in writers:
                    writer.add(Result(frame.index, frame.name, frame.pixels, ids))


Caller = TypeVar("Caller", bound="Background")


class Background:
    """Calls a function on background threads; a call blocks while `capacity` others wait.

    A failure is raised by the next call or by `close`. Leaving the `with` block closes; leaving it by an exception
    drops what still waits.

    Args:
        function: what is called.
        threads: calls at the same time; of one, the calls keep their order.
        capacity: calls that may wait or be in work.
    """

    def __init__(self, function: Callable[..., None], *, threads: int, capacity: int) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="write")
        self._free = BoundedSemaphore(capacity)
        self._failure: BaseException | None = None

    def __call__(self, *args: Any) -> None:
        """Queue a call, whose arguments nobody may change afterwards.

        Raises:
            Exception: an earlier call failed.
        """
        self._free.acquire()
        try:
            self._raise_failure()
            self._pool.submit(self._function, *args).add_done_callback(self._finished)
        except BaseException:
            self._free.release()
            raise

    def close(self) -> None:
        """Wait for all calls.

        Raises:
            Exception: a call failed.
        """
        self._pool.shutdown()
        self._raise_failure()

    def __enter__(self: Caller) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._pool.shutdown(cancel_futures=True)

    def _finished(self, job: "Future[None]") -> None:
        if not job.cancelled() and self._failure is None:
            self._failure = job.exception()
        self._free.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class PngWriter(Background):
    """Writes masks in the background.

    Args:
        save: writes one mask, e.g. `util.images.write_ids`; called as `save(path, mask)`.
        threads, capacity: see `Background`.
    """

    def __init__(self, save: Callable[[Path, np.ndarray], None], *, threads: int = 2, capacity: int = 8) -> None:
        super().__init__(lambda path, mask: _save_named(save, path, mask), threads=threads, capacity=capacity)

    def write(self, path: Path, mask: np.ndarray) -> None:
        """Queue `mask`, (H, W) uint8 or bool, which the caller must not change afterwards.

        Raises:
            OSError: an earlier mask could not be written.
        """
        self(path, mask)


def _save_named(save: Callable[[Path, np.ndarray], None], path: Path, mask: np.ndarray) -> None:
    try:
        save(path, mask)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
