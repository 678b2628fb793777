"""What a memory keeps: options, and the policies of admission and eviction (QDMN, ECCV 2022, section 3.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

GATES = ("mean", "object")


class Rank(NamedTuple):
    """What eviction knows of a dynamic slot: its number in the order of storing, and its quality."""

    number: int
    quality: float


class Policy:
    """Which predicted frames the memory keeps; by default every candidate, and all of them.

    Attributes:
        stores: whether frames without a mask are ever candidates for a dynamic slot.
        needs_quality: whether it judges by quality, so that the network must have a scorer.
    """

    stores = True
    needs_quality = False

    def admits(self, quality: float | None, threshold: float) -> bool:
        """Whether a candidate is stored.

        Args:
            quality: relative to the annotated frame's; None without a scorer.
            threshold: see `MemoryOptions`.
        """
        return True

    def victim(self, ranks: Sequence[Rank], stored: int) -> int | None:
        """Which of the full dynamic slots, in the order of storing, is given up; None to make room for one more.

        Args:
            ranks: of the dynamic slots.
            stored: how many frames have been stored so far, the new one among them.
        """
        return None


class ByQuality(Policy):
    """Admits by relative quality; gives up the lowest quality + temporal consistency exp(-distance) (QDMN).

    The distance is counted in stored frames.
    """

    needs_quality = True

    def admits(self, quality: float | None, threshold: float) -> bool:
        """See `Policy`; what is not a number is not admitted."""
        return quality is not None and quality > threshold

    def victim(self, ranks: Sequence[Rank], stored: int) -> int:
        """See `Policy`."""
        return min(range(len(ranks)), key=lambda i: ranks[i].quality + math.exp(ranks[i].number - stored))


class Latest(Policy):
    """Gives up the oldest."""

    def victim(self, ranks: Sequence[Rank], stored: int) -> int:
        """See `Policy`."""
        return 0


class Annotated(Policy):
    """Keeps nothing but annotated frames (DropSeg)."""

    stores = False


POLICIES: dict[str, Policy] = {
    "quality": ByQuality(),
    "latest": Latest(),
    "every": Policy(),  # memory grows with the video (STM, ICCV 2019)
    "annotated": Annotated(),
}


@dataclass(frozen=True)
class MemoryOptions:
    """What a memory keeps; the defaults are QDMN's for DAVIS.

    Attributes:
        policy: a name of `POLICIES`; `auto` takes what the network was published with, for most `quality` where they
            have a scorer and else `latest`.
        capacity: number of dynamic slots, of predicted frames.
        annotations: number of permanent slots, of annotated frames.
        mem_every: interval of admission, in frames.
        quality_threshold: least quality relative to the annotated frame's.
        keep_previous: whether the latest frame is kept until the next one where it is not admitted; None takes what
            the network was published with.
        gate: whose quality decides on admission and eviction: `mean`, that of all objects (QDMN), or `object`, each
            object's own for its own memory.

    Raises:
        ValueError: a value is out of range.
    """

    policy: str = "auto"
    capacity: int = 20
    annotations: int = 10
    mem_every: int = 5
    quality_threshold: float = 0.8
    keep_previous: bool | None = None
    gate: str = "mean"

    def __post_init__(self) -> None:
        if self.policy not in ("auto", *POLICIES):
            raise ValueError(f"memory policy is {self.policy!r}; choose one of {', '.join(POLICIES)}")
        if self.gate not in GATES:
            raise ValueError(f"gate is {self.gate!r}; choose one of {', '.join(GATES)}")
        if min(self.capacity, self.annotations, self.mem_every) < 1:
            sizes = f"capacity ({self.capacity}), annotations ({self.annotations}) and interval ({self.mem_every})"
            raise ValueError(f"memory {sizes} must be at least 1")

    def settled(self, *, policy: str | None, keeps_previous: bool, has_scorer: bool) -> "MemoryOptions":
        """The same with what is left to the network put in.

        Args:
            policy, keeps_previous: what the network was published with, see `MemoryNetwork`.
            has_scorer: whether it predicts the quality of masks.
        """
        usual = policy or ("quality" if has_scorer else "latest")
        return replace(
            self,
            policy=usual if self.policy == "auto" else self.policy,
            keep_previous=keeps_previous if self.keep_previous is None else self.keep_previous,
        )


DAVIS_MEMORY = MemoryOptions()
YOUTUBE_MEMORY = MemoryOptions(capacity=10, quality_threshold=0.75)  # QDMN's for YouTube-VOS
