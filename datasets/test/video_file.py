"""Video files: opening and decoding through PyAV, where their frames are, and reading these by position."""

import hashlib
import logging
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from datasets.frame_files import FrameSource, NumberedNames
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
BLOCK = 16  # frames held while a file is read in reverse
LEAST_GAP, LEAST_GAP_SHARE = 0.5, 0.05  # seconds, and share of a video, whose lack at its end is worth a word
PROBE = 32  # frames decoded to see whether the packets tell the truth about the frames
SAMPLE = 1 << 20  # bytes of a video file that tell it from others

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


class VideoFile(FrameSource):
    """A video file whose frames are read by position, forward and in reverse.

    Args:
        path: any file that FFmpeg reads.

    Attributes:
        origin: the path.
        size: height and width of the frames in pixels, after the rotation that the file asks for.
        rate: frames per second, on average; 25 where the file does not tell.

    Raises:
        InputError: the file is missing, is no video, holds no frame, or ends long before it says.
    """

    origin: Path

    def __init__(self, path: Path) -> None:
        self.origin = Path(path)
        with opened(self.origin) as (container, stream):
            refuse_cut_file(self.origin)
            self.rate = frame_rate(stream)
            tick = Fraction(stream.time_base or 0)
            alone = len(container.streams) == 1  # else the sound may be what lasts
            declared = float((stream.duration or 0) * tick) or alone * (container.duration or 0) / av.time_base
            declared -= alone * max(0.0, (container.start_time or 0) / av.time_base)
            index = scan(container, stream)
        with opened(self.origin) as (container, stream):
            failed: list[int | None] = []
            self._layout, head = self._probe(decode(container.demux(stream), failed))
        self.size = self._layout.size
        self._index = (index and index.fitted(head, failed)) or self._count()
        self.names = NumberedNames(self._index.count)
        times = [(pts - self._index.pts[0]) * tick for pts in self._index.pts]
        self.times = uneven_times(times, self.rate)
        seconds = float(times[-1] + 1 / self.rate) if times else declared
        if declared - seconds > max(LEAST_GAP, LEAST_GAP_SHARE * declared):
            logger.warning("%s says that it lasts %.1f s, but its frames end at %.1f s", path, declared, seconds)

    def __len__(self) -> int:
        return self._index.count

    def fingerprint(self) -> str:
        """A hash of the file's size and of its first and last part."""
        size = self.origin.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.origin.open("rb") as file:
            digest.update(file.read(SAMPLE))
            file.seek(max(0, size - SAMPLE))
            digest.update(file.read(SAMPLE))
        return digest.hexdigest()

    def items(self, start: int = 0, stop: int | None = None, *, reverse: bool = False) -> Iterator[np.ndarray]:
        """The frames `start` to `stop - 1`, in reverse order if asked; at most 16 are held at a time.

        Yields:
            RGB (H, W, 3), uint8, C-contiguous.

        Raises:
            ValueError: the positions are not within the file.
            InputError: a frame cannot be decoded; those before it are yielded first when reading forward.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"frames {start} to {stop} are not within the {len(self)} frames of {self.origin}")
        return self._backward(start, stop) if reverse else self._forward(start, stop)

    def load(self, item: np.ndarray) -> np.ndarray:
        """The item: a frame is decoded when its turn comes."""
        return item

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
                f"frame {position} of {self.origin} cannot be decoded; the file is damaged or cut short, "
                "export it again"
            )

    def _decode_from(self, target: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their positions from the keyframe at the timestamp `target`, else from the beginning."""
        with opened(self.origin) as (container, stream):
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
            raise InputError(f"{self.origin} holds no frame that can be decoded; fetch or export it again")
        head = [first.pts]
        with suppress(av.FFmpegError):
            head.extend(frame.pts for frame in islice(frames, PROBE - 1))
        return Layout.of(first), head

    def _count(self) -> Index:
        """An index of the number of frames alone, found by decoding the file."""
        count = 0
        with opened(self.origin) as (container, stream):
            try:
                for _ in decode(container.demux(stream)):
                    count += 1
            except av.FFmpegError:
                count += 1
        return Index(count, array("q"), [])


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
    wanted = dict(options or {})
    try:
        try:
            return av.open(file, "r", form, wanted)
        except UnicodeDecodeError:  # of a title in another encoding
            return av.open(file, "r", form, wanted, metadata_errors="replace")
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
            is_late = last_dts is not None and packet.dts is not None and packet.dts <= last_dts
            if packet.pts is None or is_late:
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


def uneven_times(times: Sequence[Fraction], rate: Fraction) -> Sequence[Fraction] | None:
    """The times of frames, in seconds from the first; None where a steady rate shows each within half a frame."""
    if all(abs(time * rate - position) <= Fraction(1, 2) for position, time in enumerate(times)):
        return None
    return times
