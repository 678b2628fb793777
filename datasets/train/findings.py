"""What can be wrong with training data, and the count of what was found in them."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

Size = tuple[int, int]


class Kind(Enum):
    """What can be wrong, the errors first; the value is its name."""

    NO_SAMPLES = "no samples"
    UNREADABLE = "unreadable file"
    MISMATCH = "size mismatch"
    MIXED_SIZES = "sizes differ within a video"
    COLOUR = "colour mask"
    WIDE_ID = "id above 255"
    SMOOTH = "smoothed edges"
    NO_OBJECT = "no object in any mask"
    LEFT_OUT = "set left out"
    TOO_SHORT = "video too short"
    NEAR_MISMATCH = "size off by 1-2 px"
    EMPTY = "mask without object"
    NO_MASK = "frame without mask"
    NO_FRAME = "mask without frame"

    @property
    def is_error(self) -> bool:
        """Whether training fails on the samples concerned; the others it passes over, repairs or takes as they are."""
        return self in ERRORS


ERRORS = frozenset(
    {
        Kind.NO_SAMPLES,
        Kind.UNREADABLE,
        Kind.MISMATCH,
        Kind.MIXED_SIZES,
        Kind.COLOUR,
        Kind.WIDE_ID,
        Kind.SMOOTH,
        Kind.NO_OBJECT,
    },
)


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind, the file or folder, and the problem in words that follow the path."""

    kind: Kind
    path: Path
    problem: str


@dataclass
class Tally:
    """What files hold.

    Attributes:
        samples: videos, or pictures with a mask.
        usable: those of them that training draws from.
        frames, masks: files.
        ids: of the objects, without background and void.
        most_objects: in one mask.
        sizes: heights and widths of the frames, in pixels.
        findings: what is wrong, in the order in which it was found.
    """

    samples: int = 0
    usable: int = 0
    frames: int = 0
    masks: int = 0
    ids: set[int] = field(default_factory=set)
    most_objects: int = 0
    sizes: set[Size] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count another tally in."""
        self.samples += other.samples
        self.usable += other.usable
        self.frames += other.frames
        self.masks += other.masks
        self.ids |= other.ids
        self.most_objects = max(self.most_objects, other.most_objects)
        self.sizes |= other.sizes
        self.findings += other.findings

    def count(self, *kinds: Kind) -> int:
        """Findings of these kinds."""
        return sum(finding.kind in kinds for finding in self.findings)


def show_size(size: Size) -> str:
    """Height and width as WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"
