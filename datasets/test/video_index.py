"""Where the frames of a video are: opening, scanning and decoding through PyAV."""

import logging
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from util.errors import InputError

TAIL = 1 << 22  # bytes in which the index of an AVI file begins
SLACK = 8  # bytes by which old writers are off
UNKNOWN = 0xFFFFFFFF
HEAD = 4096  # bytes in which the header of a file stands
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
TRANSPORT_SUFFIXES = frozenset({".ts", ".mts", ".m2ts"})
TRANSPORT_PACKET, LONG_PACKET = 188, 192
FALLBACK_RATE = Fraction(25)
TEXT_FORMAT = "tty"  # FFmpeg's reader of text files as video
DTS_SEEKING = "mpegts"  # the format that seeks by decoding time
UNSEEKABLE = "mpeg"  # the format whose frames have other timestamps after a seek
WHOLE_INDEX = "mov,"  # formats whose index lists every packet, also those that a cut file lacks


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Stored size and quarter turns of a stream's first frame, to which its later frames are fitted.

    Attributes:
        width, height: in pixels, as stored.
        turns: quarter turns, counter-clockwise, from stored to shown.
    """

    width: int
    height: int
    turns: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Layout":
        """The layout of a frame."""
        return cls(frame.width, frame.height, round(getattr(frame, "rotation", 0) / 90) % 4)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as shown."""
        return (self.width, self.height) if self.turns % 2 else (self.height, self.width)

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as it is to be shown, RGB (H, W, 3), uint8."""
        pixels = frame.to_ndarray(format="rgb24", width=self.width, height=self.height)
        return np.ascontiguousarray(np.rot90(pixels, self.turns))


@dataclass(frozen=True)
class Index:
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

    def fitted(self, head: list[int | None], failed: list[int | None]) -> "Index | None":
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
        return Index(self.count - first, self.pts[first:], self.keys)

    def seek_targets(self, position: int) -> list[int | None]:
        """Timestamps from which the frame can be decoded, best first; None is the beginning of the file."""
        if not self.pts or position >= len(self.pts):
            return [None]
        end = bisect_right(self.keys, self.pts[position], key=itemgetter(0))
        near = reversed(self.keys[max(0, end - 2) : end])
        return [target for pts, target in near if pts > self.pts[0]] + [None]


def open_container(
    file: Any, name: object, *, form: str | None = None, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Open a file or a device.

    Args:
        file: an FFmpeg address or a binary stream.
        name: what messages call it.
        form: FFmpeg's name of the format; None finds it out.
        options: of the format.

    Raises:
        InputError: it cannot be opened.
    """
    how = {"format": form, "options": dict(options or {})}
    try:
        try:
            return av.open(file, **how)
        except UnicodeDecodeError:  # of a title in another encoding
            return av.open(file, metadata_errors="replace", **how)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise InputError(f"{name} cannot be read as a video ({reason}); check that it is one that plays") from error


def video_stream(container: InputContainer, name: object) -> VideoStream:
    """The first video stream; pictures that come with a piece of music do not count.

    Raises:
        InputError: there is none that can be decoded.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and container.format.name != TEXT_FORMAT:
            if stream.codec_context is None:
                break
            return stream
    raise InputError(f"{name} holds no video stream that can be decoded; convert it to an H.264 .mp4 file")


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its video stream, closed at the end.

    Raises:
        InputError: the file is missing, or holds no video.
    """
    if not path.is_file():
        raise InputError(f"video {path} does not exist or is not a file; check the path")
    with open_container(f"file:{path}", path) as container:
        yield container, video_stream(container, path)


def declared_size(path: Path) -> int | None:
    """How many bytes a file says that it has, in formats that tell (Matroska, WebM, AVI); None in others."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"RIFF":
        content = int.from_bytes(head[4:8], "little")
        return None if content in (0, UNKNOWN) else 8 + content
    if head[:4] != EBML:
        return None
    start = head.find(SEGMENT)
    length = 9 - head[start + 4].bit_length() if 0 <= start < len(head) - 12 and head[start + 4] else 0
    if not length:
        return None
    content = int.from_bytes(head[start + 4 : start + 4 + length], "big") & ((1 << 7 * length) - 1)
    is_known = content != (1 << 7 * length) - 1
    return start + 4 + length + content if is_known else None


def _has_index_of_avi(path: Path) -> bool:
    """Whether an AVI file ends with its index, so that it is whole whatever size its header tells."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(max(0, path.stat().st_size - TAIL))
        return b"idx1" in file.read()


def refuse_cut_file(path: Path) -> None:
    """Raise for a file that ends before it says; its last frames would be missing.

    Raises:
        InputError: it does.
    """
    size, declared = path.stat().st_size, declared_size(path)
    if declared is not None and size + SLACK < declared and not _has_index_of_avi(path):
        raise InputError(
            f"video {path} is cut off: it has {size} of {declared} bytes; fetch it again, or export what is left of it"
        )
    if path.suffix.lower() in TRANSPORT_SUFFIXES and size % TRANSPORT_PACKET and size % LONG_PACKET:
        logger.warning("%s ends within a packet: it may be cut off; its last frames may be missing", path)


def decode(packets: Iterator[av.Packet], failed: list[int | None] | None = None) -> Iterator[av.VideoFrame]:
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


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames per second, on average; 25 where the stream does not tell."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate.numerator, rate.denominator) if rate else FALLBACK_RATE


def uneven_times(times: Sequence[Fraction], rate: Fraction) -> Sequence[Fraction] | None:
    """The times of frames, in seconds from the first; None where a steady rate shows each within half a frame."""
    if all(abs(time * rate - position) <= Fraction(1, 2) for position, time in enumerate(times)):
        return None
    return times


def _is_hidden(packet: av.Packet) -> bool:
    """Whether the packet holds a VP8 frame that is only a reference for others."""
    return packet.stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10


def scan(container: InputContainer, stream: VideoStream) -> Index | None:
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
    return Index(len(pts) + missing, pts, sorted(keys))
