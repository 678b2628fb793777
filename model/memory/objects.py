"""The memory of all objects of a stream: who remembers what, and whose quality decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from model.memory.bank import POLICIES, BankEvent, MemoryBank, MemoryOptions
from model.memory.read import Memory, MemoryEntry


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
        unchanged = BankEvent("", None, None)
        return tuple(report_of(group, unchanged) for group in self.groups)

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
            report_of(
                group,
                group.bank.annotate(frame, part)
                if group.objects[0] in annotated
                else group.bank.remember(frame, part, quality=quality),
            )
            for group, part in pairs
        )

    def _joint_quality(self, pairs: Sequence[tuple[Group, MemoryEntry]]) -> float | None:
        """Relative quality over the objects of several groups; None where each group is to use its own."""
        if self.options.gate == "object":
            return None
        scores: list[float] = []
        references: list[float] = []
        for group, part in pairs:
            if part.quality is None or group.bank.reference is None:
                return None
            scores += part.quality[0].tolist()
            references += group.bank.reference
        return self.bank_kind.relative_quality(scores, references) if scores else None

    def _parts(self, entry: MemoryEntry) -> Iterator[tuple[Group, MemoryEntry]]:
        """Each group with its rows of the entry."""
        start = 0
        for group in self.groups:
            rows = slice(start, start + len(group.objects))
            quality = None if entry.quality is None else entry.quality[:, rows]
            coverage = None if entry.coverage is None else entry.coverage[:, rows]
            yield group, MemoryEntry(entry.key[:, rows], entry.value[:, rows], quality, coverage)
            start = rows.stop


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
