"""Single frames of a video, read when somebody asks for them."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np

from datasets.frame_files import FrameSource

KEPT = 8  # frames
AHEAD = 16  # frames that are passed over rather than to look for the next keyframe


class FrameReader:
    """Reads frames by position; may be asked by several threads.

    The frames that were asked for last are kept, and a video file is read on from where it is.

    Args:
        source: the frames.
        kept: how many are kept.
    """

    def __init__(self, source: FrameSource, kept: int = KEPT) -> None:
        self._source = source
        self._kept = kept
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._items: Iterator[Any] = iter(())
        self._next = len(source.names)
        self._lock = Lock()

    def read(self, index: int) -> np.ndarray:
        """The frame, RGB (H, W, 3) uint8; not to be changed.

        Raises:
            InputError: it cannot be read.
        """
        with self._lock:
            if index not in self._frames:
                self._keep(index, self._load(index))
            self._frames.move_to_end(index)
            return self._frames[index]

    def _load(self, index: int) -> np.ndarray:
        if not self._next <= index < self._next + AHEAD:
            self.close()
            self._items, self._next = self._source.items(index, len(self._source.names)), index
        try:
            for item in self._items:
                self._next += 1
                if self._next > index:
                    return self._source.load(item)
        except Exception:
            self.close()
            raise
        raise IndexError(f"the video has no frame {index}")

    def _keep(self, index: int, frame: np.ndarray) -> None:
        self._frames[index] = frame
        while len(self._frames) > self._kept:
            self._frames.popitem(last=False)

    def close(self) -> None:
        """Close the file that is being read."""
        with suppress(AttributeError):  # an iterator over paths has nothing to close
            self._items.close()  # type: ignore[attr-defined]
        self._items, self._next = iter(()), len(self._source.names)
