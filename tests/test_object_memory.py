"""Which objects share a memory, and whose quality decides what goes into it."""

import math

import pytest
import torch

from model.memory_bank import MemoryBank
from model.memory_read import MemoryEntry
from model.object_memory import ObjectMemory, PublishedObjectMemory, concatenate, mean_of_heard

POSITIONS = 2


def entry(frame, objects, scores=None):
    """An entry of named objects whose keys tell the frame and whose values tell the object."""
    names = torch.tensor([float(k) for k in objects]).view(1, -1, 1, 1).expand(1, -1, POSITIONS, 3)
    quality = None if scores is None else torch.tensor([scores], dtype=torch.float64)
    return MemoryEntry(torch.full((1, len(objects), POSITIONS, 2), float(frame)), names, quality)


def remember(memory, frame, given=(), scores=None):
    """Put a frame into the memory; all qualities are 0.5 unless told."""
    memory.add([k for k in given if k not in memory.objects])
    scores = [0.5] * len(memory.objects) if scores is None else scores
    return {
        k: report
        for report in memory.update(frame, entry(frame, memory.objects, scores), given)
        for k in report.objects
    }


def remembered(memory):
    """For each object the frames that its memory really holds."""
    found = {}
    for row, k in enumerate(memory.objects):
        (rows,) = memory.memories(row, row + 1)
        assert (rows.value == k).all()
        frames = rows.key[0, 0, ::POSITIONS, 0].tolist()
        assert rows.key.shape[2] == len(frames) * POSITIONS
        found[k] = sorted(round(frame) for frame in frames)
    return found


def sharing(memory):
    return [group.objects for group in memory.groups]


def eager(**options):
    return ObjectMemory(**{"mem_every": 1, **options})


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
        memory = ObjectMemory(gate=gate)
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


def test_a_removed_object_has_no_vote_afterwards():
    memory = eager()
    remember(memory, 0, [1, 2, 3], [0.8, 0.4, 0.4])
    memory.remove([1])
    assert remember(memory, 1, scores=[0.4, 0.4])[2].relative_quality == pytest.approx(1)


def test_the_quality_of_the_mean_is_over_all_memories():
    memory = eager(quality_threshold=0.7)
    remember(memory, 0, [1, 2], [0.8, 0.6])
    remember(memory, 1, [3], [0.8, 0.6, 0.2])
    for frame, scores in ((2, [0.4, 0.5, 0.1]), (3, [0.6, 0.6, 0.1])):
        reports = remember(memory, frame, scores=scores)
        for report in reports.values():
            assert report.relative_quality == pytest.approx(sum(scores) / 1.6)
            assert report.rejected == (frame == 2) and report.stored == ("temporary" if frame == 2 else "dynamic")


def test_objects_with_a_silent_scorer_have_no_vote():
    memory = eager()
    remember(memory, 0, [1], [0.0])
    remember(memory, 1, [2], [0.9, 0.5])
    assert remember(memory, 2, scores=[0.9, 0.1])[1].relative_quality == pytest.approx(0.2)


def test_annotated_objects_have_no_vote_on_the_others():
    memory = eager()
    remember(memory, 0, [1, 2, 3], [0.5, 0.5, 0.5])
    reports = remember(memory, 1, [2], [0.5, 0.05, 0.3])
    assert reports[1].relative_quality == reports[3].relative_quality == pytest.approx(0.8)
    assert reports[2].relative_quality == 1
    assert remember(memory, 2, scores=[0.5, 0.05, 0.5])[2].relative_quality == pytest.approx(1)


def test_with_a_gate_for_each_object_its_own_quality_decides():
    memory = eager(gate="object", quality_threshold=0.7, capacity=1)
    remember(memory, 0, [1, 2], [0.8, 0.4])
    reports = remember(memory, 1, scores=[0.4, 0.4])
    assert [reports[k].relative_quality for k in (1, 2)] == pytest.approx([0.5, 1])
    assert [reports[k].rejected for k in (1, 2)] == [True, False]
    reports = remember(memory, 2, scores=[0.8, 0.1])
    assert [reports[k].stored for k in (1, 2)] == ["dynamic", "temporary"]
    assert remembered(memory) == {1: [0, 2], 2: [0, 1, 2]}


def test_with_a_gate_for_each_object_eviction_is_its_own_too():
    memory = eager(gate="object", quality_threshold=0.0, capacity=2)
    remember(memory, 0, [1, 2])
    for frame, scores in enumerate([[0.1, 0.5], [0.5, 0.1], [0.5, 0.5]], 1):
        reports = remember(memory, frame, scores=scores)
    assert [reports[k].evicted for k in (1, 2)] == [1, 2]
    assert remembered(memory) == {1: [0, 2, 3], 2: [0, 1, 3]}


def test_without_a_scorer_memories_go_by_the_interval():
    memory = eager(policy="latest", capacity=1)
    for frame, given in enumerate([[1], [2], [], []]):
        memory.add(given)
        reports = memory.update(frame, entry(frame, memory.objects), given)
    assert [report.relative_quality for report in reports] == [None, None]
    assert remembered(memory) == {1: [0, 3], 2: [1, 3]}


def test_without_a_scorer_policy_quality_is_refused():
    memory = ObjectMemory()
    memory.add([1])
    with pytest.raises(ValueError, match="needs a network with a quality scorer"):
        memory.update(0, entry(0, [1]), [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gate": "all"}, "gate is 'all'; choose one of mean, object"), ({"capacity": 0}, "must be at least 1")],
)
def test_senseless_options_are_refused_before_the_first_object(options, message):
    with pytest.raises(ValueError, match=message):
        ObjectMemory(**options)


def test_one_group_is_a_plain_bank():
    memory, bank = eager(capacity=2), MemoryBank(mem_every=1, capacity=2)
    memory.add([1, 2])
    for frame in range(12):
        scores = [0.5 + 0.4 * math.sin(frame), 0.6]
        (report,) = memory.update(frame, entry(frame, [1, 2], scores), [1, 2] if frame in (0, 5) else [])
        event = (bank.annotate if frame in (0, 5) else bank.remember)(frame, entry(frame, [1, 2], scores))
        assert (report.stored, report.evicted, report.rejected) == (event.stored, event.evicted, event.rejected)
        assert report.relative_quality == event.relative_quality and report.memory_frames == bank.frames


def test_in_the_published_memory_every_annotation_is_kept_for_all():
    memory = PublishedObjectMemory(mem_every=1)
    remember(memory, 0, [1])
    assert remember(memory, 1, [2])[1].stored == "permanent"
    assert remembered(memory) == {1: [0, 1], 2: [1]}


def test_the_published_reference_is_the_first_frame_behind_an_annotation():
    memory = PublishedObjectMemory(mem_every=1, quality_threshold=0.75)
    remember(memory, 0, [1, 2], [0.9, 0.9])
    found = [remember(memory, t, scores=s)[1] for t, s in ((1, [0.2, 0.6]), (2, [0.0, 0.3]), (3, [0.1, 0.2]))]
    assert [report.relative_quality for report in found] == pytest.approx([1, 0.75, 0.375])
    assert [report.stored for report in found] == ["dynamic", "temporary", "temporary"]
    remember(memory, 4, [1], [0.9, 0.9])
    assert remember(memory, 5, scores=[0.1, 0.2])[2].relative_quality == pytest.approx(1)


def test_a_published_pass_that_begins_in_silence_admits_nothing_until_the_next_annotation():
    memory = PublishedObjectMemory(mem_every=1)
    remember(memory, 0, [1], [0.5])
    assert [remember(memory, t, scores=[s])[1].stored for t, s in ((1, 0.0), (2, 0.9), (3, 0.9))] == ["temporary"] * 3
    remember(memory, 4, [1], [0.5])
    assert remember(memory, 5, scores=[0.9])[1].stored == "dynamic"


def test_the_mean_of_what_is_heard_leaves_zeros_out():
    assert mean_of_heard(torch.tensor([[0.5, 0.0, 0.25]])) == 0.375
    assert math.isnan(mean_of_heard(torch.zeros(1, 2)))


def test_entries_are_put_side_by_side():
    whole = entry(3, [1, 2, 3], [0.1, 0.2, 0.3])
    for parts in ([[1], [2, 3]], [[1, 2, 3]], [[1], [2], [3]]):
        joined = concatenate([entry(3, p, [k / 10 for k in p]) for p in parts])
        assert all(torch.equal(a, b) for a, b in zip(joined, whole, strict=True))
        assert concatenate([entry(3, p) for p in parts]).quality is None
