"""The memory bank: slots, admission and eviction of memory frames (QDMN, ECCV 2022, section 3.3)."""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import Tensor

from model.memory.read import Memory, MemoryEntry, has_shared_keys

FIRST_SLOTS = 64
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


class MemoryBank:
    """Memory of a group of objects that were first annotated on the same frame.

    An annotated frame gets a permanent slot: the first one for good, of the others the latest stay. The latest frame
    is there too, in a temporary slot unless it was admitted. A frame is admitted to a dynamic slot when
    `mem_every` frames have passed since the last admission and the policy accepts it; a rejected frame's successor
    is asked again.

    Args:
        options: settled, see `MemoryOptions`.
    """

    def __init__(self, options: MemoryOptions) -> None:
        self.options = options
        self.policy = POLICIES[options.policy]
        self._buffers = SlotBuffers(options.capacity + 2)
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
            ValueError: the policy goes by quality and the network has no scorer.
        """
        if entry.quality is None and self.policy.needs_quality:
            raise ValueError(f"policy {self.options.policy!r} needs a network with a quality scorer; choose 'latest'")
        self.reference = None if entry.quality is None else tuple(entry.quality[0].tolist())
        self._last_stored = frame
        evicted = self._make_room_for_annotation()
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
        rejected = due and not self.policy.admits(quality, self.options.quality_threshold)
        if rejected or not due:
            if not self.options.keep_previous:
                return BankEvent("", None, quality, rejected)
            self._temporary = frame
            self._buffers.write(len(self._slots), entry)
            return BankEvent("temporary", None, quality, rejected)
        self._stored += 1
        evicted = self._evict() if len(self._ranks) >= self.options.capacity else None
        rank = quality if rank is None else rank
        self._ranks.append(Rank(self._stored, 1.0 if rank is None else rank))
        self._last_stored = frame
        self._append(frame, entry, evicted, permanent=False)
        return BankEvent("dynamic", None if evicted is None else evicted.frame, quality)

    def is_due(self, frame: int) -> bool:
        """Whether a frame will be considered for a dynamic slot."""
        return self.policy.stores and frame - self._last_stored >= self.options.mem_every

    def select(self, objects: Sequence[int]) -> "MemoryBank":
        """A bank with the same history that holds some of the objects, named by their rows."""
        chosen = copy(self)
        chosen._buffers = self._buffers.select(objects)
        chosen._slots, chosen._ranks = list(self._slots), list(self._ranks)
        if self.reference is not None:
            chosen.reference = tuple(self.reference[k] for k in objects)
        return chosen

    @staticmethod
    def relative_quality(scores: Sequence[float], reference: Sequence[float]) -> float:
        """Mean quality of a frame relative to that of the annotated frame.

        Objects whose reference score is 0 have a silent scorer and are left out; 1 when all are silent, so that
        admission goes by interval alone.

        Args:
            scores: predicted mask IoU of each object on the frame.
            reference: the same on the annotated frame.
        """
        scored = [(score, base) for score, base in zip(scores, reference, strict=True) if base != 0]
        if not scored:
            return 1.0
        base = sum(base for _, base in scored) / len(scored)
        return sum(score for score, _ in scored) / len(scored) / base

    def _append(self, frame: int, entry: MemoryEntry, replaced: Slot | None, *, permanent: bool) -> None:
        self._temporary = None
        index = len(self._slots) if replaced is None else replaced.index
        self._slots.append(Slot(frame, index, permanent))
        self._buffers.write(index, entry)

    def _own_quality(self, entry: MemoryEntry) -> float | None:
        if entry.quality is None or self.reference is None:
            return None
        return self.relative_quality(entry.quality[0].tolist(), self.reference)

    def _give_up(self, slot: Slot) -> Slot:
        self._slots.remove(slot)
        return slot

    def _make_room_for_annotation(self) -> Slot | None:
        """The permanent slot that is given up, if they are full; never the first of several."""
        permanent = [slot for slot in self._slots if slot.permanent]
        if len(permanent) < self.options.annotations:
            return None
        return self._give_up(permanent[-1] if self.options.annotations == 1 else permanent[1])

    def _evict(self) -> Slot | None:
        """The dynamic slot that is given up."""
        position = self.policy.victim(self._ranks, self._stored)
        if position is None:
            return None
        del self._ranks[position]
        return self._give_up(self._evictable()[position])

    def _evictable(self) -> list[Slot]:
        """The slots among which `Policy.victim` chooses."""
        return [slot for slot in self._slots if not slot.permanent]


class SlotBuffers:
    """Keys, values and coverage of all slots side by side, written in place; keys that objects share, once.

    Args:
        slots: how many will be needed; room is made for the first of them at once, for more when they come.
    """

    def __init__(self, slots: int) -> None:
        self._slots = min(slots, FIRST_SLOTS)
        self._key: Tensor | None = None
        self._value: Tensor | None = None
        self._coverage: Tensor | None = None
        self._objects = self._positions = self._key_rows = 0

    def write(self, index: int, entry: MemoryEntry) -> None:
        """Write an entry into a slot; the buffers double when the slot lies behind their end."""
        self._positions, self._objects = entry.value.shape[2], entry.value.shape[1]
        if self._key is None:
            self._key_rows = 1 if has_shared_keys(entry.key) else self._objects
        elif index >= self._slots:
            self._slots *= 2
        at = slice(index * self._positions, (index + 1) * self._positions)
        self._key = self._written(self._key, at, entry.key[:, : self._key_rows])
        self._value = self._written(self._value, at, entry.value)
        if entry.coverage is not None:
            self._coverage = self._written(self._coverage, at, entry.coverage)

    def _written(self, buffer: Tensor | None, at: slice, part: Tensor) -> Tensor:
        """The buffer, or a longer one where it is too short, with the part in its place."""
        batch, objects, positions, channels = part.shape
        length = self._slots * positions
        if buffer is None or buffer.shape[2] < length:
            longer = part.new_empty(batch, objects, length, channels)
            if buffer is not None:
                longer[:, :, : buffer.shape[2]] = buffer
            buffer = longer
        buffer[:, :, at] = part
        return buffer

    def view(self, slots: int) -> Memory:
        """The first `slots` slots, without a copy.

        Raises:
            ValueError: nothing has been written.
        """
        if self._key is None or self._value is None:
            raise ValueError("the memory is empty")
        end = slots * self._positions
        coverage = None if self._coverage is None else self._coverage[:, :, :end]
        key = self._key[:, :, :end].expand(-1, self._objects, -1, -1)
        return Memory(key, self._value[:, :, :end], coverage)

    def select(self, objects: Sequence[int]) -> "SlotBuffers":
        """A copy that holds some of the objects, named by their rows."""
        chosen, rows = copy(self), list(objects)
        if self._key is not None and self._value is not None:
            shared = self._key_rows < self._objects
            chosen._key = self._key.clone() if shared else self._key[:, rows]
            chosen._value, chosen._objects = self._value[:, rows], len(rows)
            chosen._coverage = None if self._coverage is None else self._coverage[:, rows]
            chosen._key_rows = chosen._key.shape[1]
        return chosen
