"""Frames: reading a picture as one, and the sources that give a video's frames by position."""

import hashlib
import io
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from util.errors import InputError
from util.files import content_hash
from util.images import MAX_PIXELS, ORIENTATION, absurd_size, list_images, open_picture

JPEG_SUFFIXES = frozenset({".jpeg", ".jpg"})
JPEG_START = b"\xff\xd8"
RANGES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits
BLOCK_READS = 1 << 16
JUDGED_FRAMES = 64  # of a video of 16 bits, by which its range is known
HASHED_BYTES, HASHED_FILES = 1 << 26, 16
SHOWN_RATE = Fraction(24)  # frames per second of what does not tell

logger = logging.getLogger(__name__)


class FrameSource(ABC):
    """The frames of a video by position.

    Attributes:
        names: of the frames, in temporal order; those of live video may be endless.
        size: height and width of every frame.
        origin: where they are from, for messages.
        rate: frames per second when they are shown.
        times: seconds from the first frame to each, where they are not shown for equally long; else None.
        has_end: whether it is known how many frames there are, and they can be read several times.
    """

    names: Sequence[str]
    size: tuple[int, int]
    origin: Path | str
    rate: Fraction = SHOWN_RATE
    times: Sequence[Fraction] | None = None
    has_end: bool = True

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that tells these frames from others."""

    @abstractmethod
    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[Any]:
        """What `load` needs for the frames start..stop-1, in temporal or in reverse order; cheap, in one thread."""

    @abstractmethod
    def load(self, item: Any) -> np.ndarray:
        """The frame of an item, RGB (H, W, 3) uint8; may run in several threads.

        Raises:
            InputError: it cannot be read, or has another size than the first frame.
        """


class NumberedNames(Sequence[str]):
    """The names 00000, 00001, ... of so many frames."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        positions = range(self._count)[index]
        return f"{positions:05d}" if isinstance(positions, int) else [f"{position:05d}" for position in positions]


class FrameFolder(FrameSource):
    """The pictures of a folder in natural order.

    Args:
        folder: the folder.
        rate: frames per second when they are shown.
        span: which of the pictures are the video.

    Attributes:
        names: stems of the files.
        size: height and width of the first frame; all must have it.
        white: the value of 16-bit frames that is shown as 255; 0 where frames have 8 bits.

    Raises:
        InputError: there are no pictures, two share a stem, or the first cannot be read.
    """

    def __init__(self, folder: Path, rate: Fraction = SHOWN_RATE, span: slice = slice(None)) -> None:
        self.origin = folder
        self.rate = rate
        found = list_images(folder)
        self.paths = found[span]
        if not self.paths:
            raise InputError(f"folder {folder} has {len(found)} frames, and none in {span.start}..; fetch it again")
        self.names = [path.stem for path in self.paths]
        if len(set(self.names)) < len(self.names):
            raise InputError(f"folder {folder} holds two frames with one name; remove the duplicates")
        step = max(1, len(self.paths) // JUDGED_FRAMES)
        self.white = white_level(self.paths[::step])
        self.size = read_frame(self.paths[0], self.white).shape[:2]
        if self.white:
            logger.warning("%s: frames of 16 bits, of which 0..%d become 0..255", folder, self.white)

    def fingerprint(self) -> str:
        """A hash of the files' names and sizes, and of what is in them: in all, or in some of a large video."""
        sizes = [path.stat().st_size for path in self.paths]
        step = 1 if sum(sizes) <= HASHED_BYTES else max(1, len(sizes) // HASHED_FILES)
        lines = [f"{path.name} {size}\n" for path, size in zip(self.paths, sizes, strict=True)]
        lines += [content_hash(path) for path in self.paths[::step]]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[Path]:
        return iter(self.paths[start:stop][:: -1 if reverse else 1])

    def load(self, item: Path) -> np.ndarray:
        pixels = read_frame(item, self.white)
        if pixels.shape[:2] != self.size:
            sizes = [f"{width}x{height}" for height, width in (pixels.shape[:2], self.size)]
            raise InputError(f"frame {item} is {sizes[0]} but the video's first frame {sizes[1]}; export it again")
        return pixels


def read_frame(path: Path, white: int | None = None) -> np.ndarray:
    """A frame as RGB, shape (H, W, 3), uint8, turned upright where the file asks for it.

    Args:
        path: of the picture.
        white: the value of a 16-bit picture that becomes 255, see `white_level`; by default that of the picture
            itself. 0 where the video has 8 bits.

    Raises:
        InputError: the file is missing, truncated or not a picture, its data are corrupt as far as the decoder can
            tell, or a value lies above `white`.
    """
    path = Path(path)
    if path.suffix.lower() in JPEG_SUFFIXES and path.is_file():
        content = path.read_bytes()
        if content.startswith(JPEG_START):
            return _read_jpeg(path, content)
    picture = open_picture(path)
    values = _deep_values(picture, path)
    if white is not None and bool(white) != (values is not None):
        found, first = (8, 16) if values is None else (16, 8)
        raise InputError(f"{path} has {found} bits, the video's first frame {first}; export all frames alike")
    if values is not None:
        return _to_bytes(values, white or _range_of(int(values.max())), path)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _read_jpeg(path: Path, content: bytes) -> np.ndarray:
    """Decoded strictly: what the decoder would mend in silence is an error, since the picture would be wrong."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=True)
        if not 0 < width * height <= MAX_PIXELS:
            raise absurd_size(path, width, height)
        if colours in ("CMYK", "YCCK"):
            return np.array(open_picture(path).convert("RGB"))
        frame = simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error
    if not any(content.find(mark, 0, BLOCK_READS) >= 0 for mark in (b"Exif\0\0", b"http://ns.adobe.com/xap/")):
        return frame
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as header:
            warnings.simplefilter("ignore")
            turn = header.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError):
        return frame
    return np.ascontiguousarray(_turn(frame, turn))


def _turn(frame: np.ndarray, orientation: int) -> np.ndarray:
    """A frame stored in one of the orientations of EXIF (1 to 8), upright."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    turned = np.rot90(frame, turns)
    return turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned


def _deep_values(picture: Image.Image, path: Path) -> np.ndarray | None:
    """The values of a picture of more than 8 bits a channel, (H, W) or (H, W, 3), upright; None for others.

    Raises:
        InputError: it holds fractions or negative numbers.
    """
    if picture.mode == "F":
        raise InputError(f"{path} holds fractions, whose white is not known; export it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        values = np.array(picture)
        if values.min() < 0 or values.max() > RANGES[-1]:
            raise InputError(f"{path} holds values outside of 0..{RANGES[-1]}; export it with 8 or 16 bits")
        return values.astype(np.uint16)
    if picture.mode in ("RGB", "RGBA") and "16" in picture.info["samples"]:
        stored = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.dtype == np.uint16 and stored.ndim == 3:
            return _turn(stored[..., 2::-1], picture.info["orientation"])
    return None


def white_level(paths: Sequence[Path]) -> int:
    """What counts as white in these frames of one video; 0 where the first of them has 8 bits.

    The values of 10-, 12- and 14-bit cameras come in files of 16 bits: white is the smallest of these ranges that
    holds all values.

    Raises:
        InputError: a frame cannot be read.
    """
    with paths[0].open("rb") as file:
        if file.read(len(JPEG_START)) == JPEG_START:
            return 0
    largest = 0
    for path in paths:
        values = _deep_values(open_picture(path), path)
        if values is not None:
            largest = max(largest, int(values.max()))
        elif path == paths[0]:
            return 0
    return _range_of(largest)


def read_frames(paths: Sequence[Path]) -> list[np.ndarray]:
    """Some frames of one video as `read_frame` gives them, with one range where they have 16 bits.

    Raises:
        InputError: a frame cannot be read.
    """
    white = white_level(paths) or None
    return [read_frame(path, white) for path in paths]


def _range_of(largest: int) -> int:
    return next(white for white in RANGES if largest <= white)


def _to_bytes(values: np.ndarray, white: int, path: Path) -> np.ndarray:
    if values.max() > white:
        raise InputError(
            f"{path} holds the value {values.max()}, but the video began with values up to {white}; "
            "export all frames with one range"
        )
    grey = (values.astype(np.uint32) * 255 + white // 2) // white
    pixels = grey.astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
