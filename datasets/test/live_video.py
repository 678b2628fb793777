"""Frames of live video: standard input and capture devices."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from datasets.test.video_index import Layout, decode, frame_rate, open_container, video_stream
from util.errors import InputError

LIVE_SOURCE = re.compile(r"[A-Za-z]\w+:.+")
CAPTURE_OPTIONS = {"avfoundation": {"framerate": "30"}}  # its default of 29.97 is refused by most cameras
POLL_SECONDS = 0.005


def is_live(source: str) -> bool:
    """Whether a source is standard input ("-") or a capture device ("FORMAT:DEVICE") and not an existing path."""
    return (source == "-" or LIVE_SOURCE.fullmatch(source) is not None) and not Path(source).exists()


class LiveVideo:
    """Frames that arrive while they are read, which is possible once; a context manager.

    Args:
        source: "-" for a video stream on standard input, or FFmpeg's format and name of a capture device, e.g.
            "v4l2:/dev/video0", "avfoundation:0" or "dshow:video=Camera".

    Attributes:
        name: "stdin" or the name of the device.
        rate: frames per second; 25 where the source does not tell.

    Raises:
        InputError: the format is unknown, the device cannot be opened, or there is no video.
    """

    def __init__(self, source: str) -> None:
        if source == "-":
            self.name = "stdin"
            self._container = open_container(sys.stdin.buffer, self.name)
        else:
            form, _, self.name = source.partition(":")
            try:
                av.ContainerFormat(form, "r")
            except ValueError as error:
                raise InputError(
                    f"{source} is neither a file nor a capture device of a known format; "
                    f"check the path, or write e.g. v4l2:/dev/video0, avfoundation:0 or dshow:video=NAME"
                ) from error
            self._container = open_container(self.name, source, form=form, options=CAPTURE_OPTIONS.get(form))
        try:
            self._stream = video_stream(self._container, self.name)
        except InputError:
            self.close()
            raise
        self.rate = frame_rate(self._stream)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames to come as RGB (H, W, 3), uint8, all of the size of the first.

        Raises:
            InputError: the source fails.
        """
        layout = None
        try:
            for frame in decode(self._packets()):
                layout = layout or Layout.of(frame)
                yield layout.picture(frame)
        except av.FFmpegError as error:
            raise InputError(f"{self.name} stopped ({error.strerror}); check that it is still connected") from error

    def close(self) -> None:
        """Close the source; no frame can be read afterwards."""
        self._container.close()

    def __enter__(self) -> "LiveVideo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _packets(self) -> Iterator[av.Packet]:
        while True:
            try:
                yield from self._container.demux(self._stream)
                return
            except BlockingIOError:  # some devices do not wait for their next frame
                time.sleep(POLL_SECONDS)
