"""What is said of the masks that a run begins with: a line each, the surprising ones first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_LINES = 20
MOST_OBJECTS = 12


@dataclass(frozen=True)
class MaskNote:
    """What a mask holds.

    Attributes:
        video, frame: their names.
        shares: part of the frame that each object covers, in [0, 1], by its id.
        remarks: what may surprise whoever made the mask.
        colours: of the ids, (256, 3), uint8, where the mask shows objects by colours; else None.
    """

    video: str
    frame: str
    shares: Mapping[int, float]
    remarks: tuple[str, ...] = ()
    colours: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, video: str, frame: str, ids: np.ndarray, remarks: Iterable[str] = ()) -> "MaskNote":
        """The note on ids (H, W); 0 is background."""
        found, counts = np.unique(ids, return_counts=True)
        shares = zip(found.tolist(), (counts / ids.size).tolist(), strict=True)
        return cls(video, frame, {k: share for k, share in shares if k}, tuple(remarks))

    def __str__(self) -> str:
        objects = [f"{self._show(k)} {_percent(share)}" for k, share in list(self.shares.items())[:MOST_OBJECTS]]
        if len(self.shares) > MOST_OBJECTS:
            objects.append(f"and {len(self.shares) - MOST_OBJECTS} more")
        text = "; ".join([", ".join(objects) or "no object", *self.remarks])
        return printable(f"mask of {self.video}, frame {self.frame}: {text}")

    def _show(self, object_id: int) -> str:
        if self.colours is None or object_id >= len(self.colours):
            return f"object {object_id}"
        return f"object {object_id} (#{bytes(self.colours[object_id]).hex()})"


def note_lines(notes: Sequence[MaskNote], most: int = MOST_LINES) -> list[str]:
    """The notes as lines, those with remarks first; at most so many and then their number."""
    ordered = sorted(notes, key=lambda note: not note.remarks)
    more = len(ordered) - most
    return [str(note) for note in ordered[:most]] + ([f"... and {more} more masks"] if more > 0 else [])


def printable(text: str) -> str:
    """Text in which bytes of a name that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
