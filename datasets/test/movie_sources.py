"""Frames of video files and of live video, as `FrameSource`."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import numpy as np

from datasets.test.live_video import LiveVideo
from datasets.test.video_file import VideoFile
from training.stop_signal import StopSignal
from util.errors import InputError

SAMPLE = 1 << 20  # bytes of a video file that tell it from others


class Numbers(Sequence[str]):
    """The names 00000, 00001, ... of so many frames."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int | slice) -> str | list[str]:
        positions = range(self._count)[index]
        return f"{positions:05d}" if isinstance(positions, int) else [f"{position:05d}" for position in positions]


class FrameFile:
    """The frames of a video file.

    Raises:
        InputError: the file cannot be read as a video.
    """

    def __init__(self, path: Path) -> None:
        self._video = VideoFile(path)
        self.origin = path
        self.names = Numbers(len(self._video))
        self.size = self._video.size
        self.rate: Fraction = self._video.rate
        self.times = self._video.times

    def fingerprint(self) -> str:
        """A hash of the file's size and of its first and last part."""
        size = self.origin.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.origin.open("rb") as file:
            digest.update(file.read(SAMPLE))
            file.seek(max(0, size - SAMPLE))
            digest.update(file.read(SAMPLE))
        return digest.hexdigest()

    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[np.ndarray]:
        """See `FrameSource`."""
        return self._video.read(start, stop, reverse=reverse)

    def load(self, item: np.ndarray) -> np.ndarray:
        """See `FrameSource`."""
        return item


class LiveFrames:
    """The frames of live video, which can be read once; the first one is read at once.

    Reading ends with the source, after `max_frames`, or orderly when the user interrupts it (Ctrl-C).

    Args:
        source: see `LiveVideo`.
        max_frames: None for no limit.

    Raises:
        InputError: the source cannot be read, or gives no frame.
    """

    def __init__(self, source: str, max_frames: int | None = None) -> None:
        self._live = LiveVideo(source)
        self._frames = iter(self._live)
        self._first = next(self._frames, None)
        if self._first is None:
            raise InputError(f"{self._live.name} gives no frame; check that it sends video")
        self.name = self.origin = self._live.name
        self.rate: Fraction = self._live.rate
        self.size = self._first.shape[:2]
        self.names = Numbers(sys.maxsize if max_frames is None else max_frames)

    def fingerprint(self) -> str:
        """Live video is never the same again."""
        return uuid4().hex

    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[np.ndarray]:
        """See `FrameSource`; frames before `start` are passed over."""
        if reverse:
            raise InputError(f"{self.name} is live and cannot be read backwards; use --direction forward")
        with StopSignal() as signal, self._live:
            for frame in islice(chain([self._first], self._frames), start, stop):
                yield frame
                if signal.requested:
                    return

    def load(self, item: np.ndarray) -> np.ndarray:
        """See `FrameSource`."""
        return item
