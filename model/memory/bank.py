"""The memory bank: slots, admission and eviction of memory frames (QDMN, ECCV 2022, section 3.3)."""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple

from model.memory.read import Memory, MemoryEntry
from model.memory.slots import SlotBuffers

POLICIES = ("quality", "latest", "every", "annotated")


class BankEvent(NamedTuple):
    """What the bank did with a frame.

    Attributes:
        stored: the kind of slot that the frame went to; "" where it is not kept.
        evicted: the frame whose slot was given up for it, or None.
        relative_quality: its quality relative to the annotated frame's; None without a scorer.
        rejected: whether it was due for admission, but of too low a quality.
    """

    stored: Literal["permanent", "dynamic", "temporary", ""]
    evicted: int | None
    relative_quality: float | None
    rejected: bool = False


@dataclass
class Slot:
    """A stored frame, and where in the buffers it lies."""

    frame: int
    index: int
    permanent: bool


class Rank(NamedTuple):
    """What eviction knows of a dynamic slot: its number in the order of storing, and its quality."""

    number: int
    quality: float


class MemoryBank:
    """Memory of a group of objects that were first annotated on the same frame.

    An annotated frame gets a permanent slot: the first one for good, of the others the latest stay. The latest frame
    is there too, in a temporary slot unless it was admitted. A frame is admitted to a dynamic slot when
    `mem_every` frames have passed since the last admission and the policy accepts it; a rejected frame's successor
    is asked again.

    Args:
        capacity: number of dynamic slots.
        annotations: number of permanent slots.
        mem_every: interval of admission, in frames.
        quality_threshold: least quality relative to the annotated frame's. QDMN uses 0.8 for DAVIS.
        keep_previous: whether the latest frame is kept until the next one where it is not admitted.
        policy: `quality` admits by relative quality and evicts the lowest quality + temporal consistency (QDMN);
            `latest` admits every candidate and evicts the oldest; `every` evicts none, so memory grows with the
            video (STM, ICCV 2019); `annotated` admits none (DropSeg).
        compat: do as the published QDMN code does. It holds one dynamic slot more; it evicts the slot before
            the chosen one, in the end the annotated frame itself; it stores nothing when all scores of the
            annotated frame are 0; an annotation makes it forget which slots are dynamic, so that it evicts the
            oldest slots afterwards and memory grows with the number of annotations.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        capacity: int = 20,
        annotations: int = 10,
        mem_every: int = 5,
        quality_threshold: float = 0.8,
        keep_previous: bool = True,
        policy: str = "quality",
        compat: bool = False,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"memory policy is {policy!r}; choose one of {', '.join(POLICIES)}")
        if min(capacity, annotations, mem_every) < 1:
            sizes = f"capacity ({capacity}), annotations ({annotations}) and interval ({mem_every})"
            raise ValueError(f"memory {sizes} must be at least 1")
        self.capacity = capacity + 1 if compat else capacity
        self.annotations = annotations
        self.mem_every = mem_every
        self.quality_threshold = quality_threshold
        self.keep_previous = keep_previous
        self.policy = policy
        self.compat = compat
        self._buffers = SlotBuffers(self.capacity + 2)
        self._slots: list[Slot] = []
        self._ranks: list[Rank] = []
        self._temporary: int | None = None
        self._stored = 0
        self._last_stored = 0
        self.reference: tuple[float, ...] | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames in memory in the order of storing, the temporary one last."""
        stored = tuple(slot.frame for slot in self._slots)
        return stored if self._temporary is None else (*stored, self._temporary)

    @property
    def memory(self) -> Memory:
        """Keys and values of all frames in memory; a view."""
        return self._buffers.view(len(self.frames))

    def annotate(self, frame: int, entry: MemoryEntry) -> BankEvent:
        """Give an annotated frame a permanent slot; its quality becomes the reference.

        Raises:
            ValueError: the policy is `quality` and the network has no scorer.
        """
        if entry.quality is None and self.policy == "quality":
            raise ValueError("policy 'quality' needs a network with a quality scorer; choose 'latest'")
        self.reference = None if entry.quality is None else tuple(entry.quality[0].tolist())
        self._last_stored = frame
        permanent = [slot for slot in self._slots if slot.permanent]
        evicted = None
        if self.compat:
            self._ranks.clear()
            self._stored = 0
        elif len(permanent) >= self.annotations:
            evicted = self._give_up(permanent[-1] if self.annotations == 1 else permanent[1])
        self._append(frame, entry, evicted, permanent=True)
        quality = None if self.reference is None else 1.0
        return BankEvent("permanent", None if evicted is None else evicted.frame, quality)

    def remember(
        self, frame: int, entry: MemoryEntry, *, quality: float | None = None, rank: float | None = None
    ) -> BankEvent:
        """Put a predicted frame into a dynamic slot if it is admitted, else into the temporary one.

        Args:
            frame, entry: what is remembered.
            quality: relative quality that decides on admission; by default that of the bank's own objects.
            rank: quality by which the frame is compared with others for eviction; by default the same.

        Raises:
            ValueError: no frame has been annotated yet.
        """
        if not self._slots:
            raise ValueError("the first frame of a memory must be annotated")
        quality = self._own_quality(entry) if quality is None else quality
        due = self.is_due(frame)
        rejected = due and self.policy == "quality" and not quality > self.quality_threshold
        if rejected or not due:
            if not self.keep_previous:
                return BankEvent("", None, quality, rejected)
            self._temporary = frame
            self._buffers.write(len(self._slots), entry)
            return BankEvent("temporary", None, quality, rejected)
        self._stored += 1
        evicted = self._evict() if self.policy != "every" and len(self._ranks) >= self.capacity else None
        rank = quality if rank is None else rank
        self._ranks.append(Rank(self._stored, 1.0 if rank is None else rank))
        self._last_stored = frame
        self._append(frame, entry, evicted, permanent=False)
        return BankEvent("dynamic", None if evicted is None else evicted.frame, quality)

    def is_due(self, frame: int) -> bool:
        """Whether a frame will be considered for a dynamic slot."""
        return self.policy != "annotated" and frame - self._last_stored >= self.mem_every

    def select(self, objects: Sequence[int]) -> "MemoryBank":
        """A bank with the same history that holds some of the objects, named by their rows."""
        chosen = copy(self)
        chosen._buffers = self._buffers.select(objects)
        chosen._slots, chosen._ranks = list(self._slots), list(self._ranks)
        if self.reference is not None:
            chosen.reference = tuple(self.reference[k] for k in objects)
        return chosen

    def _append(self, frame: int, entry: MemoryEntry, replaced: Slot | None, *, permanent: bool) -> None:
        self._temporary = None
        index = len(self._slots) if replaced is None else replaced.index
        self._slots.append(Slot(frame, index, permanent))
        self._buffers.write(index, entry)

    def _own_quality(self, entry: MemoryEntry) -> float | None:
        if entry.quality is None or self.reference is None:
            return None
        return relative_quality(entry.quality[0].tolist(), self.reference, compat=self.compat)

    def _give_up(self, slot: Slot) -> Slot:
        self._slots.remove(slot)
        return slot

    def _evict(self) -> Slot:
        position = 0
        if self.policy == "quality":
            position = min(range(len(self._ranks)), key=lambda i: self._rank_value(self._ranks[i]))
        del self._ranks[position]
        off_by_one = self.compat and self.policy == "quality"
        dynamic = [slot for slot in self._slots if off_by_one or not slot.permanent]
        return self._give_up(dynamic[position])

    def _rank_value(self, rank: Rank) -> float:
        """Quality + temporal consistency exp(-distance), the distance counted in stored frames."""
        return rank.quality + math.exp(-(self._stored - rank.number))


def relative_quality(scores: Sequence[float], reference: Sequence[float], *, compat: bool = False) -> float:
    """Mean quality of a frame relative to that of the annotated frame.

    Objects whose reference score is 0 have a silent scorer and are left out; 1 when all are silent, so that
    admission goes by interval alone.

    Args:
        scores: predicted mask IoU of each object on the frame.
        reference: the same on the annotated frame.
        compat: as published: the mean over all objects against the mean over the objects that are not silent;
            NaN, which no threshold admits, when all are silent.
    """
    heard = [(score, base) for score, base in zip(scores, reference, strict=True) if base != 0]
    if not heard:
        return math.nan if compat else 1.0
    base = sum(base for _, base in heard) / len(heard)
    if compat:
        return sum(scores) / len(scores) / base
    return sum(score for score, _ in heard) / len(heard) / base
