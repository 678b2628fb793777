"""Frames of video files and of live video, through PyAV."""

import re
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from util.errors import InputError

BLOCK = 16  # frames held while a file is read in reverse
PROBE = 32  # frames decoded to see whether the packets tell the truth about the frames
FALLBACK_RATE = Fraction(25)
TEXT_FORMAT = "tty"  # FFmpeg's reader of text files as video
DTS_SEEKING = "mpegts"  # the format that seeks by decoding time
UNSEEKABLE = "mpeg"  # the format whose frames have other timestamps after a seek
WHOLE_INDEX = "mov,"  # formats whose index lists every packet, also those that a cut file lacks
LIVE_SOURCE = re.compile(r"[A-Za-z]\w+:.+")
CAPTURE_OPTIONS = {"avfoundation": {"framerate": "30"}}  # its default of 29.97 is refused by most cameras
POLL_SECONDS = 0.005


@dataclass(frozen=True)
class _Layout:
    """Stored size and quarter turns of a stream's first frame, to which its later frames are fitted."""

    width: int
    height: int
    turns: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "_Layout":
        return cls(frame.width, frame.height, round(getattr(frame, "rotation", 0) / 90) % 4)

    @property
    def size(self) -> tuple[int, int]:
        return (self.width, self.height) if self.turns % 2 else (self.height, self.width)

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as it is to be shown, RGB (H, W, 3), uint8."""
        pixels = frame.to_ndarray(format="rgb24", width=self.width, height=self.height)
        return np.ascontiguousarray(np.rot90(pixels, self.turns))


@dataclass(frozen=True)
class _Index:
    """Where the frames of a file are.

    Attributes:
        count: frames that the file promises.
        pts: their timestamps, ascending; fewer than `count` where the file is cut short, none where they are unknown.
        keys: timestamp of each keyframe and the timestamp to seek to for it, ascending.
    """

    count: int
    pts: array
    keys: list[tuple[int, int]]

    def position(self, pts: int | None) -> int | None:
        """The position of the frame with this timestamp; None where there is none."""
        if pts is None:
            return None
        position = bisect_left(self.pts, pts)
        return position if position < len(self.pts) and self.pts[position] == pts else None

    def fitted(self, head: list[int | None], failed: list[int | None]) -> "_Index | None":
        """The index without what comes before the first decoded frame.

        None where it contradicts the frames `head` of a whole file, apart from packets that `failed` to be decoded.
        """
        is_whole = self.count == len(self.pts)
        first = self.position(head[0])
        if first is None:
            return None if is_whole else self
        expected = (pts for pts in self.pts[first:] if pts not in failed)
        if is_whole and any(a != b for a, b in zip(head, expected, strict=False)):
            return None
        return _Index(self.count - first, self.pts[first:], self.keys)

    def seek_targets(self, position: int) -> list[int | None]:
        """Timestamps from which the frame can be decoded, best first; None is the beginning of the file."""
        if not self.pts or position >= len(self.pts):
            return [None]
        end = bisect_right(self.keys, self.pts[position], key=itemgetter(0))
        near = reversed(self.keys[max(0, end - 2) : end])
        return [target for pts, target in near if pts > self.pts[0]] + [None]


def _open(file: Any, name: object, *, form: str | None = None) -> InputContainer:
    options = {"format": form, "options": CAPTURE_OPTIONS.get(form or "", {})}
    try:
        try:
            return av.open(file, **options)
        except UnicodeDecodeError:  # of a title in another encoding
            return av.open(file, metadata_errors="replace", **options)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise InputError(f"{name} cannot be read as a video ({reason}); check that it is one that plays") from error


def _video_stream(container: InputContainer, name: object) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and container.format.name != TEXT_FORMAT:
            if stream.codec_context is None:
                break
            return stream
    raise InputError(f"{name} holds no video stream that can be decoded; convert it to an H.264 .mp4 file")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    if not path.is_file():
        raise InputError(f"video {path} does not exist or is not a file; check the path")
    with _open(f"file:{path}", path) as container:
        yield container, _video_stream(container, path)


def _decode(packets: Iterator[av.Packet], failed: list[int | None] | None = None) -> Iterator[av.VideoFrame]:
    """The frames of packets; those that cannot be decoded are left out, and their timestamps added to `failed`."""
    for packet in packets:
        if not packet.size and packet.dts is not None:  # an empty packet would end the decoder
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if failed is not None:
                failed.append(packet.pts)
            continue
        yield from frames


def _rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate.numerator, rate.denominator) if rate else FALLBACK_RATE


def _is_hidden(packet: av.Packet) -> bool:
    """Whether the packet holds a VP8 frame that is only a reference for others."""
    return packet.stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10


def _scan(container: InputContainer, stream: VideoStream) -> _Index | None:
    """The index of a file by its packets, without decoding; None where their timestamps cannot tell the order."""
    pts, keys, packets, missing, last_dts = array("q"), [], 0, 0, None
    form = container.format.name
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            packets += 1
            if packet.pts is None or (None not in (last_dts, packet.dts) and packet.dts <= last_dts):
                return None
            last_dts = packet.dts
            if packet.is_discard or _is_hidden(packet):
                continue
            pts.append(packet.pts)
            if packet.is_keyframe and form != UNSEEKABLE:
                keys.append((packet.pts, packet.dts if form == DTS_SEEKING and packet.dts is not None else packet.pts))
    except av.FFmpegError:
        missing = 1
    pts = array("q", sorted(pts))
    if any(a == b for a, b in pairwise(pts)):
        return None
    index = getattr(stream, "index_entries", [])  # which PyAV shows since version 17
    lost = index[packets:] if form.startswith(WHOLE_INDEX) else []
    if lost:  # a frame is in its place only if it is shown before the first lost one is decoded
        certain = bisect_left(pts, lost[0].timestamp)
        missing = len(pts) - certain + sum(not entry.is_discard for entry in lost)
        pts = pts[:certain]
    return _Index(len(pts) + missing, pts, sorted(keys))


class VideoFile:
    """A video file whose frames are read by position, forward and in reverse.

    Args:
        path: any file that FFmpeg reads.

    Attributes:
        path: as given.
        size: height and width of the frames in pixels, after the rotation that the file asks for.
        rate: frames per second, on average; 25 where the file does not tell.

    Raises:
        InputError: the file is missing, is no video, or holds no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        with _opened(self.path) as (container, stream):
            self.rate = _rate(stream)
            index = _scan(container, stream)
        with _opened(self.path) as (container, stream):
            failed: list[int | None] = []
            self._layout, head = self._probe(_decode(container.demux(stream), failed))
        self._index = (index and index.fitted(head, failed)) or self._count()

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
        with _opened(self.path) as (container, stream):
            try:
                if target is not None:
                    container.seek(target, stream=stream)
                for number, frame in enumerate(_decode(container.demux(stream))):
                    position = self._index.position(frame.pts) if self._index.pts else number
                    if position is not None:
                        yield position, frame
            except av.FFmpegError:  # the caller reports the frame that it waits for
                return

    def _probe(self, frames: Iterator[av.VideoFrame]) -> tuple[_Layout, list[int | None]]:
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
        return _Layout.of(first), head

    def _count(self) -> _Index:
        """An index of the number of frames alone, found by decoding the file."""
        count = 0
        with _opened(self.path) as (container, stream):
            try:
                for _ in _decode(container.demux(stream)):
                    count += 1
            except av.FFmpegError:
                count += 1
        return _Index(count, array("q"), [])


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
            self._container = _open(sys.stdin.buffer, self.name)
        else:
            form, _, self.name = source.partition(":")
            try:
                av.ContainerFormat(form, "r")
            except ValueError as error:
                raise InputError(
                    f"{source} is neither a file nor a capture device of a known format; "
                    f"check the path, or write e.g. v4l2:/dev/video0, avfoundation:0 or dshow:video=NAME"
                ) from error
            self._container = _open(self.name, source, form=form)
        try:
            self._stream = _video_stream(self._container, self.name)
        except InputError:
            self.close()
            raise
        self.rate = _rate(self._stream)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames to come as RGB (H, W, 3), uint8, all of the size of the first.

        Raises:
            InputError: the source fails.
        """
        layout = None
        try:
            for frame in _decode(self._packets()):
                layout = layout or _Layout.of(frame)
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
