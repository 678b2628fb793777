"""Writing H.264 and GIF videos frame by frame."""

import math
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from PIL import Image

from util.files import atomic_path

FORMATS = {".mp4": "mp4", ".gif": "gif"}
GIF_MAX_RATE = Fraction(50)
GIF_TICKS = 100  # per second
GIF_MAX_WIDTH = 480
H264_OPTIONS = {"crf": "20", "preset": "veryfast"}
MPEG4_OPTIONS = {"qmin": "2", "qmax": "5"}
MPEG4_BITS_PER_PIXEL = 1  # of a frame; more than the quantiser range needs, so that the range decides
MAX_TICKS = 65535  # per second, of MPEG-4
UNSTEADY_TICKS = 60000  # per second, of a video whose frames have times of their own
BT709 = 1  # primaries and transfer curve in a stream's colour tags


class VideoWriter:
    """Writes a video file that appears when the `with` block ends; none does if it ends by an error or without frame.

    Args:
        path: `.mp4` gives H.264 (MPEG-4 part 2 where FFmpeg has no x264), with an odd last row or column repeated;
            `.gif` gives frames of 256 colours each that are played in a loop.
        rate: frames per second; a GIF has 50 at most.
        max_width: wider frames are shrunk to this many pixels; by default 480 for a GIF, no limit for an mp4.
        steady: whether all frames are shown equally long; else `write` may be told when each is shown.

    Raises:
        ValueError: the path has another suffix.
    """

    def __init__(self, path: Path, rate: Fraction, *, max_width: int | None = None, steady: bool = True) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() not in FORMATS:
            raise ValueError(f"{path} must end in {' or '.join(FORMATS)}")
        self._format = FORMATS[self._path.suffix.lower()]
        self._is_gif = self._format == "gif"
        rate = min(Fraction(rate), GIF_MAX_RATE) if self._is_gif else Fraction(rate)
        self._rate = rate.limit_denominator(max(1, MAX_TICKS // math.ceil(rate)))
        self._max_width = GIF_MAX_WIDTH if max_width is None and self._is_gif else max_width
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._steady = steady
        self._last_tick = -1
        self._files = ExitStack()
        self._container: OutputContainer
        self._stream: VideoStream

    def write(self, rgb: np.ndarray, time: Fraction | None = None) -> None:
        """Append a frame.

        Args:
            rgb: (H, W, 3), uint8.
            time: seconds from the first frame to this one; by default one frame's time after the one before.

        Raises:
            ValueError: the frame is no such picture or differs in size from the first one.
            OSError: the file cannot be written.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"a frame must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
        if self._shape and rgb.shape != self._shape:
            raise ValueError(f"frame {self._count} of {self._path} is {rgb.shape[:2]}, the first was {self._shape[:2]}")
        picture = _shrink(rgb, self._max_width)
        frame = _gif_frame(picture) if self._is_gif else _yuv_frame(picture)
        if not self._shape:
            self._open(frame.width, frame.height)
            self._shape = rgb.shape
        frame.time_base = 1 / self._tick_rate
        seconds = self._count / self._rate if time is None else time
        frame.pts = self._last_tick = max(self._last_tick + 1, round(seconds * self._tick_rate))
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, traceback)

    @property
    def _tick_rate(self) -> Fraction:
        if self._is_gif:
            return Fraction(GIF_TICKS)
        return self._rate if self._steady else Fraction(UNSTEADY_TICKS)

    def _open(self, width: int, height: int) -> None:
        options = {"final_delay": str(round(GIF_TICKS / self._rate))} if self._is_gif else {}
        temporary = self._files.enter_context(atomic_path(self._path))
        self._container = av.open(f"file:{temporary}", "w", format=self._format, options=options)
        self._files.enter_context(self._container)
        self._stream = _add_gif(self._container) if self._is_gif else _add_mp4(self._container, self._rate)
        if not self._is_gif:
            self._stream.codec_context.time_base = 1 / self._tick_rate
            if not self._steady:  # frames in their order: a player adds up their times
                self._stream.codec_context.max_b_frames = 0
        self._stream.width, self._stream.height = width, height
        if self._stream.codec_context.name == "mpeg4":
            self._stream.bit_rate = math.ceil(width * height * self._rate * MPEG4_BITS_PER_PIXEL)
        self._files.push(self._flush)

    def _flush(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode())


def _add_gif(container: OutputContainer) -> VideoStream:
    stream = container.add_stream("gif", rate=GIF_TICKS)
    assert isinstance(stream, VideoStream)
    stream.pix_fmt = "pal8"
    return stream


def _add_mp4(container: OutputContainer, rate: Fraction) -> VideoStream:
    has_x264 = "libx264" in av.codecs_available
    codec, options = ("libx264", H264_OPTIONS) if has_x264 else ("mpeg4", MPEG4_OPTIONS)
    stream = container.add_stream(codec, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = BT709
    return stream


def _shrink(rgb: np.ndarray, max_width: int | None) -> np.ndarray:
    """The picture at most `max_width` pixels wide."""
    height, width = rgb.shape[:2]
    if max_width is None or width <= max_width:
        return rgb
    return cv2.resize(rgb, (max_width, max(1, round(height * max_width / width))), interpolation=cv2.INTER_AREA)


def _yuv_frame(rgb: np.ndarray) -> av.VideoFrame:
    """A frame of even size with the colours of high-definition video."""
    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _gif_frame(rgb: np.ndarray) -> av.VideoFrame:
    """A frame of 256 colours chosen for it."""
    picture = Image.fromarray(rgb).quantize(256)
    colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    return av.VideoFrame.from_ndarray((np.array(picture), palette), format="pal8")  # type: ignore[arg-type]
