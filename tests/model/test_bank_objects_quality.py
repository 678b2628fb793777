"""Whose quality decides what goes into the memory of objects, in ours and in the published one."""

import math

import pytest

from model.memory.bank import ObjectMemory
from published.qdmn import PublishedYouTubeMemory, mean_above_zero
from tests.helpers.bank_entries import settled
from tests.helpers.object_entries import eager, entry, remember, remembered


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
    memory = ObjectMemory(settled())
    memory.add([1])
    with pytest.raises(ValueError, match="needs a network with a quality scorer"):
        memory.update(0, entry(0, [1]), [1])


def test_in_the_published_memory_every_annotation_is_kept_for_all():
    memory = PublishedYouTubeMemory(settled(mem_every=1))
    remember(memory, 0, [1])
    assert remember(memory, 1, [2])[1].stored == "permanent"
    assert remembered(memory) == {1: [0, 1], 2: [1]}


def test_the_published_reference_is_the_first_frame_behind_an_annotation():
    memory = PublishedYouTubeMemory(settled(mem_every=1, quality_threshold=0.75))
    remember(memory, 0, [1, 2], [0.9, 0.9])
    found = [remember(memory, t, scores=s)[1] for t, s in ((1, [0.2, 0.6]), (2, [0.0, 0.3]), (3, [0.1, 0.2]))]
    assert [report.relative_quality for report in found] == pytest.approx([1, 0.75, 0.375])
    assert [report.stored for report in found] == ["dynamic", "temporary", "temporary"]
    remember(memory, 4, [1], [0.9, 0.9])
    assert remember(memory, 5, scores=[0.1, 0.2])[2].relative_quality == pytest.approx(1)


def test_a_published_pass_that_begins_in_silence_admits_nothing_until_the_next_annotation():
    memory = PublishedYouTubeMemory(settled(mem_every=1))
    remember(memory, 0, [1], [0.5])
    assert [remember(memory, t, scores=[s])[1].stored for t, s in ((1, 0.0), (2, 0.9), (3, 0.9))] == ["temporary"] * 3
    remember(memory, 4, [1], [0.5])
    assert remember(memory, 5, scores=[0.9])[1].stored == "dynamic"


def test_the_mean_of_what_is_heard_leaves_zeros_out():
    assert mean_above_zero((0.5, 0.0, 0.25)) == 0.375
    assert math.isnan(mean_above_zero((0.0, 0.0)))
