"""Which objects share a memory, and what it holds of each."""

import math

import pytest
import torch

from model.memory.bank import MemoryBank, ObjectMemory, concatenate
from tests.helpers.bank_entries import settled
from tests.helpers.object_entries import eager, entry, remember, remembered


def sharing(memory):
    return [group.objects for group in memory.groups]


def test_objects_given_together_share_a_memory():
    memory = eager()
    remember(memory, 0, [4, 2])
    remember(memory, 1, [9])
    reports = remember(memory, 2)
    assert sharing(memory) == [(4, 2), (9,)] and memory.objects == (4, 2, 9)
    assert remembered(memory) == {4: [0, 1, 2], 2: [0, 1, 2], 9: [1, 2]}
    assert {k: report.memory_frames for k, report in reports.items()} == {4: (0, 1, 2), 2: (0, 1, 2), 9: (1, 2)}


def test_with_a_gate_for_each_object_none_share_a_memory():
    memory = eager(gate="object")
    remember(memory, 0, [4, 2])
    assert sharing(memory) == [(4,), (2,)]


def test_adding_nobody_changes_nothing():
    for gate in ("mean", "object"):
        memory = ObjectMemory(settled(gate=gate))
        memory.add([])
        assert memory.groups == [] and memory.objects == ()
        assert memory.memories(0, 0) == []


def test_memories_of_any_rows_are_those_of_their_objects():
    memory = eager()
    for frame, given in enumerate([[1, 2, 3], [4], [2], [5, 6]]):
        remember(memory, frame, given)
    assert len(memory.groups) == 5
    for start in range(6):
        for stop in range(start + 1, 7):
            found = memory.memories(start, stop)
            rows = [k for m in found for k in m.value[0, :, 0, 0].tolist()]
            assert rows == list(memory.objects[start:stop])
            for m in found:
                assert (m.value == m.value[:, :, :1]).all() and m.key.shape[:3] == m.value.shape[:3]


def test_memories_are_views():
    memory = eager()
    remember(memory, 0, [1, 2])
    (whole,), (part,) = memory.memories(0, 2), memory.memories(1, 2)
    assert part.key.untyped_storage().data_ptr() == whole.key.untyped_storage().data_ptr()


def test_an_annotation_of_some_objects_parts_them_from_the_others():
    memory = eager(mem_every=2)
    remember(memory, 0, [1, 2, 3, 4])
    reports = remember(memory, 1, [2, 3])
    assert memory.objects == (1, 2, 3, 4) and sharing(memory) == [(1,), (2, 3), (4,)]
    assert {k: report.stored for k, report in reports.items()} == {
        1: "temporary", 2: "permanent", 3: "permanent", 4: "temporary",
    }  # fmt: skip
    remember(memory, 2)
    remember(memory, 3)
    assert remembered(memory) == {1: [0, 2, 3], 2: [0, 1, 3], 3: [0, 1, 3], 4: [0, 2, 3]}


def test_an_annotation_of_all_parts_nobody():
    memory = eager()
    remember(memory, 0, [1, 2])
    remember(memory, 1, [2, 1])
    assert sharing(memory) == [(1, 2)]
    assert remembered(memory) == {1: [0, 1], 2: [0, 1]}


def test_parted_objects_do_not_write_into_each_others_memory():
    memory = eager(capacity=1, annotations=2)
    remember(memory, 0, [1, 2])
    for frame in range(1, 8):
        remember(memory, frame, [1] if frame % 2 else [])
    assert remembered(memory) == {1: [0, 6, 7], 2: [0, 7]}


@pytest.mark.parametrize("gate", ["mean", "object"])
@pytest.mark.parametrize("gone", [[1], [2], [3], [1, 2], [3, 1], [4], [1, 2, 3, 4], []])
def test_a_removed_object_leaves_no_trace_in_memory(gate, gone):
    memory = eager(gate=gate)
    remember(memory, 0, [1, 2, 3])
    remember(memory, 1, [4])
    before = remembered(memory)
    memory.remove(gone)
    kept = tuple(k for k in (1, 2, 3, 4) if k not in gone)
    assert memory.objects == kept
    assert remembered(memory) == {k: before[k] for k in kept}
    if kept:
        remember(memory, 2)
    assert remembered(memory) == {k: [*before[k], 2] for k in kept}


def test_one_group_is_a_plain_bank():
    memory, bank = eager(capacity=2), MemoryBank(settled(mem_every=1, capacity=2))
    memory.add([1, 2])
    for frame in range(12):
        scores = [0.5 + 0.4 * math.sin(frame), 0.6]
        (report,) = memory.update(frame, entry(frame, [1, 2], scores), [1, 2] if frame in (0, 5) else [])
        event = (bank.annotate if frame in (0, 5) else bank.remember)(frame, entry(frame, [1, 2], scores))
        assert (report.stored, report.evicted, report.rejected) == (event.stored, event.evicted, event.rejected)
        assert report.relative_quality == event.relative_quality and report.memory_frames == bank.frames


def test_entries_are_put_side_by_side():
    whole = entry(3, [1, 2, 3], [0.1, 0.2, 0.3])
    for parts in ([[1], [2, 3]], [[1, 2, 3]], [[1], [2], [3]]):
        joined = concatenate([entry(3, p, [k / 10 for k in p]) for p in parts])
        assert all(torch.equal(a, b) for a, b in zip(joined[:3], whole[:3], strict=True))
        assert concatenate([entry(3, p) for p in parts]).quality is None
