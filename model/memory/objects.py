"""The memory of all objects of a stream: who remembers what, and whose quality decides."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from model.memory.bank import BankEvent, MemoryBank, relative_quality
from model.memory.read import Memory, MemoryEntry

GATES = ("mean", "object")


@dataclass(frozen=True)
class BankReport:
    """What happened to the memory of some objects on a frame.

    Attributes:
        objects: their ids.
        relative_quality: the quality, relative to the annotated frame's, by which the frame was judged, or None.
        stored: `permanent`, `dynamic`, `temporary`, or "" where the frame is not kept.
        rejected: whether it was due for admission, but of too low a quality.
        evicted: index of the frame that left the memory for this one, or None.
        memory_frames: indices of the frames in memory afterwards, in the order of storing.
    """

    objects: tuple[int, ...]
    relative_quality: float | None
    stored: str
    rejected: bool
    evicted: int | None
    memory_frames: tuple[int, ...]


@dataclass
class Group:
    """Objects whose rows follow each other and who share a memory bank."""

    objects: tuple[int, ...]
    bank: MemoryBank


class ObjectMemory:
    """One memory bank for each group of objects with one history: annotated, corrected and judged together.

    Args:
        gate: whose quality decides on admission and eviction: `mean`, that of all objects (QDMN), or `object`,
            each object's own for its own memory.
        compat, bank: capacity, annotations, mem_every, quality_threshold, keep_previous and policy, see `MemoryBank`.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        gate: str = "mean",
        compat: bool = False,
        **bank: Any,
    ) -> None:
        if gate not in GATES:
            raise ValueError(f"gate is {gate!r}; choose one of {', '.join(GATES)}")
        self.gate = gate
        self.mem_every = bank.get("mem_every", 5)
        self.compat = compat
        self._new_bank = partial(MemoryBank, compat=compat, **bank)
        self._new_bank()
        self.groups: list[Group] = []

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects in the order of their rows."""
        return tuple(k for group in self.groups for k in group.objects)

    def add(self, objects: Sequence[int]) -> None:
        """Take in objects that are not known yet; their rows come last."""
        cohorts = [(k,) for k in objects] if self.gate == "object" else [tuple(objects)] * bool(objects)
        self.groups += [Group(cohort, self._new_bank()) for cohort in cohorts]

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
                key, value = group.bank.memory
                found.append(Memory(key[:, rows], value[:, rows]))
            first = last
        return found

    def uses(self, frame: int) -> tuple[bool, bool]:
        """Whether a frame without a mask will be looked at, and whether its quality will."""
        banks = [group.bank for group in self.groups]
        due = any(bank.is_due(frame) for bank in banks)
        scored = self.compat or (due and any(bank.policy == "quality" for bank in banks))
        return due or any(bank.keep_previous for bank in banks), scored

    def pass_over(self) -> tuple[BankReport, ...]:
        """What is to be told of a frame that leaves the memory as it is."""
        unchanged = BankEvent("", None, None)
        return tuple(_report(group, unchanged) for group in self.groups)

    def update(self, frame: int, entry: MemoryEntry, annotated: Sequence[int]) -> tuple[BankReport, ...]:
        """Remember a frame.

        Args:
            frame: its index.
            entry: all objects in the order of their rows.
            annotated: objects whose masks were given; they get a permanent slot.

        Raises:
            ValueError: the policy is `quality` and the network has no scorer.
        """
        self.groups = [part for group in self.groups for part in _split(group, annotated)]
        pairs = list(self._parts(entry))
        quality = self._joint_quality([p for p in pairs if p[0].objects[0] not in annotated])
        return tuple(
            _report(
                group,
                group.bank.annotate(frame, part)
                if group.objects[0] in annotated
                else group.bank.remember(frame, part, quality=quality),
            )
            for group, part in pairs
        )

    def _joint_quality(self, pairs: Sequence[tuple[Group, MemoryEntry]]) -> float | None:
        """Relative quality over the objects of several groups; None where each group is to use its own."""
        if self.gate == "object" or any(part.quality is None for _, part in pairs):
            return None
        scores = [score for _, part in pairs for score in part.quality[0].tolist()]
        references = [base for group, _ in pairs for base in group.bank.reference]
        return relative_quality(scores, references, compat=self.compat) if scores else None

    def _parts(self, entry: MemoryEntry) -> Iterator[tuple[Group, MemoryEntry]]:
        """Each group with its rows of the entry."""
        start = 0
        for group in self.groups:
            rows = slice(start, start + len(group.objects))
            quality = None if entry.quality is None else entry.quality[:, rows]
            yield group, MemoryEntry(entry.key[:, rows], entry.value[:, rows], quality)
            start = rows.stop


class PublishedObjectMemory(ObjectMemory):
    """The memory of the published YouTube-VOS code, for its numbers.

    Every annotation begins a new pass: all objects keep the frame, and the first frame behind it sets the reference
    quality. Qualities of 0 are left out; when all are 0 there, nothing is admitted for the rest of the pass. One
    object's frames are ranked by quality itself, those of several by relative quality (the published code ends in
    an error there). For the rest see `MemoryBank`, `compat`.
    """

    def __init__(self, **bank_options: object) -> None:
        super().__init__(compat=True, **bank_options)
        self._reference: float | None = None

    def update(self, frame: int, entry: MemoryEntry, annotated: Sequence[int]) -> tuple[BankReport, ...]:
        """See `ObjectMemory`."""
        if annotated:
            self._reference = None
            return tuple(_report(group, group.bank.annotate(frame, part)) for group, part in self._parts(entry))
        score = None if entry.quality is None else mean_of_heard(entry.quality)
        self._reference = score if self._reference is None else self._reference
        ratio = None if score is None else score / self._reference
        rank = score if len(self.objects) == 1 else ratio
        return tuple(
            _report(group, group.bank.remember(frame, part, quality=ratio, rank=rank))
            for group, part in self._parts(entry)
        )


def mean_of_heard(quality: Tensor) -> float:
    """Mean of the qualities that are not 0; NaN when all are."""
    heard = [score for score in quality.flatten().tolist() if score != 0]
    return sum(heard) / len(heard) if heard else math.nan


def concatenate(entries: Sequence[MemoryEntry]) -> MemoryEntry:
    """Entries of objects that follow each other as one."""
    if len(entries) == 1:
        return entries[0]
    key, value = (torch.cat([entry[i] for entry in entries], 1) for i in (0, 1))
    scored = all(entry.quality is not None for entry in entries)
    return MemoryEntry(key, value, torch.cat([entry.quality for entry in entries], 1) if scored else None)


def _report(group: Group, event: BankEvent) -> BankReport:
    return BankReport(
        group.objects, event.relative_quality, event.stored, event.rejected, event.evicted, group.bank.frames
    )


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
