"""What is known of the frames of a session, in a few bytes for each."""

from collections.abc import Collection

import numpy as np

from interactive.propagation import neediest
from interactive.storage import FrameNote


class KnownFrames:
    """What the notes of a session's frames say, by frame and object.

    Args:
        count: number N of frames.
        objects: their ids.

    Attributes:
        quality: of each object, (N,) float32, predicted IoU on each frame; not a number where it is not known.
        has_mask: (N,) bool.
        corrected: the objects that were corrected on each frame where any was.
        pending: the directions in which a frame's corrections have not been propagated yet, where there is any.
    """

    def __init__(self, count: int, objects: Collection[int] = ()) -> None:
        self.quality: dict[int, np.ndarray] = {}
        self.has_mask = np.zeros(count, bool)
        self.corrected: dict[int, frozenset[int]] = {}
        self.pending: dict[int, frozenset[str]] = {}
        for object_id in objects:
            self.add_object(object_id)

    def add_object(self, object_id: int) -> None:
        """Begin with an object of which nothing is known."""
        self.quality[object_id] = np.full(len(self.has_mask), np.nan, np.float32)

    def learn(self, index: int, note: FrameNote | None) -> None:
        """Take the note of a frame; None for one that has no mask."""
        self.has_mask[index] = note is not None
        note = note or FrameNote()
        for object_id, known in self.quality.items():
            known[index] = note.quality.get(object_id, np.nan)
        self.corrected.pop(index, None)
        self.pending.pop(index, None)
        if note.corrected:
            self.corrected[index] = note.corrected
        if note.pending:
            self.pending[index] = note.pending

    def neediest(self, objects: Collection[int]) -> int | None:
        """The frame on which help for these objects is worth most; None where no frame has a propagated mask."""
        if not objects:
            return None
        free = self.has_mask.copy()
        for index, corrected in self.corrected.items():
            free[index] &= not set(objects) <= corrected
        return neediest(np.stack([self.quality[k] for k in sorted(objects)]), free)
