"""Live video: standard input and capture devices."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import av
import numpy as np

from datasets.frame_files import FrameSource, NumberedNames
from datasets.test.video_file import Layout, decode, frame_rate, open_container, video_stream
from util.errors import InputError, StopSignal

LIVE_SOURCE = re.compile(r"[A-Za-z]\w+:.+")
CAPTURE_OPTIONS = {"avfoundation": {"framerate": "30"}}  # its default of 29.97 is refused by most cameras
POLL_SECONDS = 0.005


def is_live(source: str) -> bool:
    """Whether a source is standard input ("-") or a capture device ("FORMAT:DEVICE") and not an existing path."""
    return (source == "-" or LIVE_SOURCE.fullmatch(source) is not None) and not Path(source).exists()


class LiveVideo(FrameSource):
    """Frames that arrive while they are read, which is possible once; the first one is read at once.

    Reading ends with the source, after `max_frames`, or orderly when the user interrupts it (Ctrl-C).

    Args:
        source: "-" for a video stream on standard input, or FFmpeg's format and name of a capture device, e.g.
            "v4l2:/dev/video0", "avfoundation:0" or "dshow:video=Camera".
        max_frames: None for no limit.

    Attributes:
        origin: "stdin" or the name of the device.
        size: height and width of the first frame, to which later ones are fitted.
        rate: frames per second; 25 where the source does not tell.

    Raises:
        InputError: the format is unknown, the device cannot be opened, there is no video, or no frame comes.
    """

    origin: str
    has_end = False

    def __init__(self, source: str, max_frames: int | None = None) -> None:
        if source == "-":
            self.origin = "stdin"
            self._container = open_container(sys.stdin.buffer, self.origin)
        else:
            form, _, self.origin = source.partition(":")
            try:
                av.ContainerFormat(form, "r")
            except ValueError as error:
                raise InputError(
                    f"{source} is neither a file nor a capture device of a known format; "
                    f"check the path, or write e.g. v4l2:/dev/video0, avfoundation:0 or dshow:video=NAME"
                ) from error
            self._container = open_container(self.origin, source, form=form, options=CAPTURE_OPTIONS.get(form))
        try:
            self._stream = video_stream(self._container, self.origin)
            self.rate = frame_rate(self._stream)
            self._frames = self._decoded()
            first = next(self._frames, None)
            if first is None:
                raise InputError(f"{self.origin} gives no frame; check that it sends video")
        except InputError:
            self._container.close()
            raise
        self._first = first
        self.size = first.shape[:2]
        self.names = NumberedNames(sys.maxsize if max_frames is None else max_frames)

    def fingerprint(self) -> str:
        """Live video is never the same again."""
        return uuid4().hex

    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[np.ndarray]:
        """The frames start..stop-1, RGB (H, W, 3) uint8, in temporal order; those before `start` are passed over.

        Raises:
            InputError: the source fails, or the reverse order is asked.
        """
        if reverse:
            raise InputError(f"{self.origin} is live and cannot be read backwards; use --direction forward")
        with StopSignal() as signal, closing(self._container):
            for frame in islice(chain([self._first], self._frames), start, stop):
                yield frame
                if signal.requested:
                    return

    def load(self, item: np.ndarray) -> np.ndarray:
        """The item: a frame is decoded when it arrives."""
        return item

    def _decoded(self) -> Iterator[np.ndarray]:
        layout = None
        try:
            for frame in decode(self._packets()):
                layout = layout or Layout.of(frame)
                yield layout.picture(frame)
        except av.FFmpegError as error:
            raise InputError(f"{self.origin} stopped ({error.strerror}); check that it is still connected") from error

    def _packets(self) -> Iterator[av.Packet]:
        while True:
            try:
                yield from self._container.demux(self._stream)
                return
            except BlockingIOError:  # some devices do not wait for their next frame
                time.sleep(POLL_SECONDS)
