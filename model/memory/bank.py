"""The memory of a stream: banks of slots, filled and emptied by policy, one for each group of objects (QDMN)."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from model.memory.options import POLICIES, MemoryOptions, Rank
from model.memory.read import Memory, MemoryEntry, has_shared_keys
from util.tensors import Later, numbers_of, take_rows

FIRST_SLOTS = 64

Scores = Later[tuple[float, ...]]
Relative = Later[float | None]
UNKNOWN: Relative = Later(lambda: None)


class BankEvent(NamedTuple):
    """What the bank did with a frame.

    Attributes:
        stored: the kind of slot that the frame went to; "" where it is not kept.
        evicted: the frame whose slot was given up for it, or None.
        relative: its quality relative to the annotated frame's; None without a scorer.
        rejected: whether it was due for admission, but of too low a quality.
    """

    stored: Literal["permanent", "dynamic", "temporary", ""]
    evicted: int | None
    relative: Relative
    rejected: bool = False

    @property
    def relative_quality(self) -> float | None:
        """`relative`, which is waited for."""
        return self.relative.value


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

    Attributes:
        reference: quality of each object on the latest annotated frame; None without a scorer.
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
        self.reference: Scores | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames in memory in the order of storing, the temporary one last."""
        stored = tuple(slot.frame for slot in self._slots)
        return stored if self._temporary is None else (*stored, self._temporary)

    @property
    def memory(self) -> Memory:
        """Keys and values of all frames in memory; a view."""
        return self._buffers.view(len(self.frames))

    def annotate(self, frame: int, entry: MemoryEntry, scores: Scores | None = None) -> BankEvent:
        """Give an annotated frame a permanent slot; its quality becomes the reference.

        Args:
            frame, entry: what is remembered.
            scores: its quality, where that is being fetched already.

        Raises:
            ValueError: the policy goes by quality and the network has no scorer.
        """
        if entry.quality is None and self.policy.needs_quality:
            raise ValueError(f"policy {self.options.policy!r} needs a network with a quality scorer; choose 'latest'")
        self.reference = scores or scores_of(entry)
        self._last_stored = frame
        evicted = self._make_room_for_annotation()
        self._append(frame, entry, evicted, permanent=True)
        relative: Relative = UNKNOWN if self.reference is None else Later(lambda: 1.0)
        return BankEvent("permanent", None if evicted is None else evicted.frame, relative)

    def remember(
        self, frame: int, entry: MemoryEntry, *, relative: Relative | None = None, rank: float | None = None
    ) -> BankEvent:
        """Put a predicted frame into a dynamic slot if it is admitted, else into the temporary one.

        Args:
            frame, entry: what is remembered.
            relative: relative quality that decides on admission; by default that of the bank's own objects. A device is
                waited for it where the policy goes by it and the frame is due.
            rank: quality by which the frame is compared with others for eviction; by default the same.

        Raises:
            ValueError: no frame has been annotated yet.
        """
        if not self._slots:
            raise ValueError("the first frame of a memory must be annotated")
        relative = relative or self.judge(scores_of(entry))
        due = self.is_due(frame)
        quality = relative.value if due and self.policy.needs_quality else None
        rejected = due and not self.policy.admits(quality, self.options.quality_threshold)
        if rejected or not due:
            if not self.options.keep_previous:
                return BankEvent("", None, relative, rejected)
            self._temporary = frame
            self._buffers.write(len(self._slots), entry)
            return BankEvent("temporary", None, relative, rejected)
        self._stored += 1
        evicted = self._evict() if len(self._ranks) >= self.options.capacity else None
        rank = quality if rank is None else rank
        self._ranks.append(Rank(self._stored, 1.0 if rank is None else rank))
        self._last_stored = frame
        self._append(frame, entry, evicted, permanent=False)
        return BankEvent("dynamic", None if evicted is None else evicted.frame, relative)

    def judge(self, scores: Scores | None) -> Relative:
        """The relative quality of a frame with these scores of the bank's objects."""
        reference = self.reference
        if scores is None or reference is None:
            return UNKNOWN
        return Later(lambda: self.relative_quality(scores.value, reference.value))

    def is_due(self, frame: int) -> bool:
        """Whether a frame will be considered for a dynamic slot."""
        return self.policy.stores and frame - self._last_stored >= self.options.mem_every

    def select(self, objects: Sequence[int]) -> "MemoryBank":
        """A bank with the same history that holds some of the objects, named by their rows."""
        chosen = copy(self)
        chosen._buffers = self._buffers.select(objects)
        chosen._slots, chosen._ranks = list(self._slots), list(self._ranks)
        if self.reference is not None:
            chosen.reference = _some(self.reference, objects)
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
            chosen._key = self._key.clone() if shared else take_rows(self._key, rows, 1)
            chosen._value, chosen._objects = take_rows(self._value, rows, 1), len(rows)
            chosen._coverage = None if self._coverage is None else take_rows(self._coverage, rows, 1)
            chosen._key_rows = chosen._key.shape[1]
        return chosen


@dataclass(frozen=True)
class BankReport:
    """What happened to the memory of some objects on a frame.

    Attributes:
        objects: their ids.
        relative: the quality, relative to the annotated frame's, by which the frame was judged, or None.
        stored: `permanent`, `dynamic`, `temporary`, or "" where the frame is not kept.
        rejected: whether it was due for admission, but of too low a quality.
        evicted: index of the frame that left the memory for this one, or None.
        memory_frames: indices of the frames in memory afterwards, in the order of storing.
    """

    objects: tuple[int, ...]
    relative: Relative
    stored: str
    rejected: bool
    evicted: int | None
    memory_frames: tuple[int, ...]

    @property
    def relative_quality(self) -> float | None:
        """`relative`, which is waited for."""
        return self.relative.value


@dataclass
class Group:
    """Objects whose rows follow each other and who share a memory bank."""

    objects: tuple[int, ...]
    bank: MemoryBank


Part = tuple[Group, MemoryEntry, Scores | None]


class ObjectMemory:
    """One memory bank for each group of objects with one history: annotated, corrected and judged together.

    Args:
        options: settled, see `MemoryOptions`.
    """

    bank_kind: type[MemoryBank] = MemoryBank

    def __init__(self, options: MemoryOptions) -> None:
        self.options = options
        self.groups: list[Group] = []

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects in the order of their rows."""
        return tuple(k for group in self.groups for k in group.objects)

    def add(self, objects: Sequence[int]) -> None:
        """Take in objects that are not known yet; their rows come last."""
        cohorts = [(k,) for k in objects] if self.options.gate == "object" else [tuple(objects)] * bool(objects)
        self.groups += [Group(cohort, self.bank_kind(self.options)) for cohort in cohorts]

    def remove(self, objects: Sequence[int]) -> None:
        """Forget objects."""
        kept = []
        for group in self.groups:
            rows = [row for row, k in enumerate(group.objects) if k not in objects]
            if len(rows) == len(group.objects):
                kept.append(group)
            elif rows:
                kept.append(_select(group, rows))
        self.groups = kept

    def memories(self, start: int, stop: int) -> list[Memory]:
        """The memories of the objects in these rows; views."""
        found, first = [], 0
        for group in self.groups:
            last = first + len(group.objects)
            if first < stop and start < last:
                rows = slice(max(start - first, 0), min(stop, last) - first)
                key, value, coverage = group.bank.memory
                covered = None if coverage is None else coverage[:, rows]
                found.append(Memory(key[:, rows], value[:, rows], covered))
            first = last
        return found

    def uses(self, frame: int) -> tuple[bool, bool]:
        """Whether a frame without a mask will be looked at, and whether its quality will."""
        due = any(group.bank.is_due(frame) for group in self.groups)
        scored = due and POLICIES[self.options.policy].needs_quality
        return due or bool(self.groups and self.options.keep_previous), scored

    def pass_over(self) -> tuple[BankReport, ...]:
        """What is to be told of a frame that leaves the memory as it is."""
        unchanged = BankEvent("", None, UNKNOWN)
        return tuple(report_of(group, unchanged) for group in self.groups)

    def update(
        self, frame: int, entry: MemoryEntry, annotated: Sequence[int], scores: Scores | None = None
    ) -> tuple[BankReport, ...]:
        """Remember a frame.

        Args:
            frame: its index.
            entry: all objects in the order of their rows.
            annotated: objects whose masks were given; they get a permanent slot.
            scores: quality of all objects, where it is being fetched already.

        Raises:
            ValueError: the policy is `quality` and the network has no scorer.
        """
        self.groups = [part for group in self.groups for part in _split(group, annotated)]
        parts = list(self._parts(entry, scores or scores_of(entry)))
        joint = self._joint_quality([part for part in parts if part[0].objects[0] not in annotated])
        return tuple(
            report_of(
                group,
                group.bank.annotate(frame, own, judged)
                if group.objects[0] in annotated
                else group.bank.remember(frame, own, relative=joint or group.bank.judge(judged)),
            )
            for group, own, judged in parts
        )

    def _joint_quality(self, parts: Sequence[Part]) -> Relative | None:
        """Relative quality over the objects of several groups; None where each group is to use its own."""
        found = [(judged, group.bank.reference) for group, _, judged in parts]
        pairs = [(judged, reference) for judged, reference in found if judged is not None and reference is not None]
        if self.options.gate == "object" or not pairs or len(pairs) < len(found):
            return None

        def relative() -> float:
            scores, references = (sum((each.value for each in side), ()) for side in zip(*pairs, strict=True))
            return self.bank_kind.relative_quality(scores, references)

        return Later(relative)

    def _parts(self, entry: MemoryEntry, scores: Scores | None) -> Iterator[Part]:
        """Each group with its rows of the entry, and its scores."""
        start = 0
        for group in self.groups:
            stop = start + len(group.objects)
            rows = slice(start, stop)
            quality = None if entry.quality is None else entry.quality[:, rows]
            coverage = None if entry.coverage is None else entry.coverage[:, rows]
            judged = None if scores is None else _some(scores, range(start, stop))
            yield group, MemoryEntry(entry.key[:, rows], entry.value[:, rows], quality, coverage), judged
            start = stop


def scores_of(entry: MemoryEntry) -> Scores | None:
    """The quality of each object of an entry, which is being fetched; None without a scorer."""
    return None if entry.quality is None else numbers_of(entry.quality[0])


def _some(scores: Scores, rows: Sequence[int]) -> Scores:
    """The scores of some objects, named by their rows."""
    return Later(lambda: tuple(scores.value[row] for row in rows))


def concatenate(entries: Sequence[MemoryEntry]) -> MemoryEntry:
    """Entries of objects that follow each other as one."""
    if len(entries) == 1:
        return entries[0]
    return MemoryEntry(
        torch.cat([entry.key for entry in entries], 1),
        torch.cat([entry.value for entry in entries], 1),
        _joined([entry.quality for entry in entries]),
        _joined([entry.coverage for entry in entries]),
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known, 1) if len(known) == len(parts) else None


def report_of(group: Group, event: BankEvent) -> BankReport:
    """What a bank did with a frame, and what it holds now."""
    return BankReport(group.objects, event.relative, event.stored, event.rejected, event.evicted, group.bank.frames)


def _split(group: Group, annotated: Sequence[int]) -> list[Group]:
    """Parts of a group whose objects are either all annotated or none; rows keep their order."""
    flags = [k in annotated for k in group.objects]
    bounds = [row for row in range(1, len(flags)) if flags[row] != flags[row - 1]]
    if not bounds:
        return [group]
    edges = [0, *bounds, len(flags)]
    return [_select(group, range(a, b)) for a, b in pairwise(edges)]


def _select(group: Group, rows: Sequence[int]) -> Group:
    return Group(tuple(group.objects[row] for row in rows), group.bank.select(rows))
