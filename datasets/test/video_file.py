"""Frames of video files by position."""

import logging
from array import array
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from datasets.test.video_index import Index, Layout, decode, frame_rate, opened, refuse_cut_file, scan, uneven_times
from util.errors import InputError

BLOCK = 16  # frames held while a file is read in reverse
LEAST_GAP, LEAST_GAP_SHARE = 0.5, 0.05  # seconds, and share of a video, whose lack at its end is worth a word
PROBE = 32  # frames decoded to see whether the packets tell the truth about the frames

logger = logging.getLogger(__name__)


class VideoFile:
    """A video file whose frames are read by position, forward and in reverse.

    Args:
        path: any file that FFmpeg reads.

    Attributes:
        path: as given.
        size: height and width of the frames in pixels, after the rotation that the file asks for.
        rate: frames per second, on average; 25 where the file does not tell.
        times: seconds from the first frame to each, where frames are not shown for equally long; else None.

    Raises:
        InputError: the file is missing, is no video, holds no frame, or ends long before it says.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        with opened(self.path) as (container, stream):
            refuse_cut_file(self.path)
            self.rate = frame_rate(stream)
            tick = Fraction(stream.time_base or 0)
            alone = len(container.streams) == 1  # else the sound may be what lasts
            declared = float((stream.duration or 0) * tick) or alone * (container.duration or 0) / av.time_base
            declared -= alone * max(0.0, (container.start_time or 0) / av.time_base)
            index = scan(container, stream)
        with opened(self.path) as (container, stream):
            failed: list[int | None] = []
            self._layout, head = self._probe(decode(container.demux(stream), failed))
        self._index = (index and index.fitted(head, failed)) or self._count()
        times = [(pts - self._index.pts[0]) * tick for pts in self._index.pts]
        self.times = uneven_times(times, self.rate)
        seconds = float(times[-1] + 1 / self.rate) if times else declared
        if declared - seconds > max(LEAST_GAP, LEAST_GAP_SHARE * declared):
            logger.warning("%s says that it lasts %.1f s, but its frames end at %.1f s", path, declared, seconds)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, in pixels."""
        return self._layout.size

    def __len__(self) -> int:
        return self._index.count

    def read(self, start: int = 0, stop: int | None = None, *, reverse: bool = False) -> Iterator[np.ndarray]:
        """The frames `start` to `stop - 1`, in reverse order if asked; at most 16 are held at a time.

        Yields:
            RGB (H, W, 3), uint8, C-contiguous.

        Raises:
            ValueError: the positions are not within the file.
            InputError: a frame cannot be decoded; those before it are yielded first when reading forward.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"frames {start} to {stop} are not within the {len(self)} frames of {self.path}")
        return self._backward(start, stop) if reverse else self._forward(start, stop)

    def _backward(self, start: int, stop: int) -> Iterator[np.ndarray]:
        for end in range(stop, start, -BLOCK):
            block = list(self._forward(max(start, end - BLOCK), end))
            while block:
                yield block.pop()

    def _forward(self, start: int, stop: int) -> Iterator[np.ndarray]:
        position = start
        for target in self._index.seek_targets(start) if start < stop else []:
            for found, frame in self._decode_from(target):
                if found == position:
                    yield self._layout.picture(frame)
                    position += 1
                if position == stop:
                    return
                if found > position:
                    break
        if position < stop:
            raise InputError(
                f"frame {position} of {self.path} cannot be decoded; the file is damaged or cut short, export it again"
            )

    def _decode_from(self, target: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their positions from the keyframe at the timestamp `target`, else from the beginning."""
        with opened(self.path) as (container, stream):
            try:
                if target is not None:
                    container.seek(target, stream=stream)
                for number, frame in enumerate(decode(container.demux(stream))):
                    position = self._index.position(frame.pts) if self._index.pts else number
                    if position is not None:
                        yield position, frame
            except av.FFmpegError:  # the caller reports the frame that it waits for
                return

    def _probe(self, frames: Iterator[av.VideoFrame]) -> tuple[Layout, list[int | None]]:
        """The layout of the frames, and the timestamps of the first ones."""
        try:
            first = next(frames, None)
        except av.FFmpegError:
            first = None
        if first is None:
            raise InputError(f"{self.path} holds no frame that can be decoded; fetch or export it again")
        head = [first.pts]
        with suppress(av.FFmpegError):
            head.extend(frame.pts for frame in islice(frames, PROBE - 1))
        return Layout.of(first), head

    def _count(self) -> Index:
        """An index of the number of frames alone, found by decoding the file."""
        count = 0
        with opened(self.path) as (container, stream):
            try:
                for _ in decode(container.demux(stream)):
                    count += 1
            except av.FFmpegError:
                count += 1
        return Index(count, array("q"), [])
