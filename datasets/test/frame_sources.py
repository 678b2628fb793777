"""Where the frames of a video come from."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from util.errors import InputError
from util.files import content_hash
from util.images import is_deep, list_images, read_frame, white_level

JUDGED_FRAMES = 64  # of a video of 16 bits, by which its range is known
HASHED_BYTES, HASHED_FILES = 1 << 26, 16
logger = logging.getLogger(__name__)


class FrameSource(Protocol):
    """Frames by position. `items` is cheap and goes in order; `load` may run in several threads."""

    names: Sequence[str]
    size: tuple[int, int]
    origin: object

    def fingerprint(self) -> str:
        """What tells these frames from others."""
        ...

    def items(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[object]:
        """What `load` needs for the frames start..stop-1, in order or in reverse order."""
        ...

    def load(self, item: object) -> np.ndarray:
        """A frame, RGB (H, W, 3) uint8."""
        ...


class FrameFolder:
    """The pictures of a folder in natural order.

    Attributes:
        names: stems of the files.
        size: height and width of the first frame; all must have it.
        white: the value of 16-bit frames that is shown as 255; 0 where frames have 8 bits.

    Raises:
        InputError: there are no pictures, two share a stem, or the first cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.origin = folder
        self.paths = list_images(folder)
        self.names = [path.stem for path in self.paths]
        if len(set(self.names)) < len(self.names):
            raise InputError(f"folder {folder} holds two frames with one name; remove the duplicates")
        step = max(1, len(self.paths) // JUDGED_FRAMES)
        self.white = (white_level(self.paths[::step]) or 0) if is_deep(self.paths[0]) else 0
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
        """See `FrameSource`."""
        return iter(self.paths[start:stop][:: -1 if reverse else 1])

    def load(self, item: Path) -> np.ndarray:
        """See `FrameSource`; raises InputError when the frame cannot be read or has another size."""
        pixels = read_frame(item, self.white)
        if pixels.shape[:2] != self.size:
            sizes = [f"{width}x{height}" for height, width in (pixels.shape[:2], self.size)]
            raise InputError(f"frame {item} is {sizes[0]} but the video's first frame {sizes[1]}; export it again")
        return pixels
