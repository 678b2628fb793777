"""What the memory bank admits and keeps."""

import math

import pytest
import torch

from model.memory.bank import MemoryBank
from model.memory.options import MemoryOptions
from model.memory.read import MemoryEntry
from published.qdmn import PublishedBank
from tests.helpers.bank_entries import POSITIONS, REFERENCE, annotated_bank, entry, feed, settled, tags, told
from util.tensors import Later


def known(relative):
    return Later(lambda: relative)


def test_a_frame_is_admitted_when_the_interval_has_passed():
    events = feed(annotated_bank(mem_every=5), [1.0] * 16)
    assert [t for t, event in enumerate(events, 1) if event.stored == "dynamic"] == [5, 10, 15]


def test_quality_must_exceed_the_threshold():
    bank = annotated_bank(mem_every=1, quality_threshold=0.75)
    events = feed(bank, [0.7, 0.75, 0.8])
    assert [event.stored for event in events] == ["temporary", "temporary", "dynamic"]
    assert [event.rejected for event in events] == [True, True, False]
    assert [event.relative_quality for event in events] == pytest.approx([0.7, 0.75, 0.8])


def test_after_a_rejection_the_next_frame_is_asked():
    events = feed(annotated_bank(mem_every=3), [1, 1, 0.1, 0.1, 1, 1, 1, 1])
    assert [t for t, event in enumerate(events, 1) if event.stored == "dynamic"] == [5, 8]


def test_the_temporary_slot_holds_the_previous_frame_whatever_its_quality():
    bank = annotated_bank(mem_every=5)
    for t, ratio in enumerate([1.0, 0.0, 0.5, 1.0], 1):
        bank.remember(t, entry(t, REFERENCE * ratio))
        assert bank.frames == (0, t)
        assert tags(bank) == [0, t]


def test_an_admitted_frame_needs_no_temporary_slot():
    bank = annotated_bank(mem_every=2)
    feed(bank, [1.0, 1.0])
    assert bank.frames == (0, 2)


def test_an_annotation_replaces_the_temporary_frame_and_restarts_the_interval():
    bank = annotated_bank(mem_every=4)
    feed(bank, [1.0] * 2)
    assert told(bank.annotate(3, entry(3, REFERENCE))) == ("permanent", None, 1.0)
    assert bank.frames == (0, 3)
    events = feed(bank, [1.0] * 4, start=4)
    assert [event.stored for event in events] == ["temporary"] * 3 + ["dynamic"]


def test_quality_is_relative_to_the_last_annotated_frame():
    bank = annotated_bank(mem_every=1)
    bank.annotate(1, entry(1, 0.25))
    assert bank.remember(2, entry(2, 0.25)).relative_quality == 1.0


def test_of_many_annotated_frames_the_first_and_the_latest_stay():
    bank = annotated_bank(capacity=2, annotations=3, mem_every=1)
    feed(bank, [1.0, 1.0])
    events = [bank.annotate(t, entry(t, REFERENCE)) for t in range(3, 30)]
    assert bank.frames == (0, 1, 2, 28, 29)
    assert sorted(tags(bank)) == [0, 1, 2, 28, 29]
    assert [event.evicted for event in events[:4]] == [None, None, 3, 4]


def test_with_room_for_one_annotation_the_latest_stays():
    bank = annotated_bank(annotations=1, mem_every=1)
    bank.annotate(1, entry(1, REFERENCE))
    assert bank.frames == (1,)
    assert tags(bank) == [1]


def test_more_annotations_than_dynamic_slots_are_all_kept():
    bank = annotated_bank(capacity=1, annotations=30, mem_every=1)
    for t in range(1, 40, 2):
        bank.annotate(t, entry(t, REFERENCE))
        bank.remember(t + 1, entry(t + 1, REFERENCE))
    assert tags(bank) == [0, *range(1, 40, 2), 40]


def test_latest_keeps_the_most_recent():
    bank = annotated_bank(policy="latest", capacity=3, mem_every=2)
    events = feed(bank, [0.0] * 21)
    assert bank.frames == (0, 16, 18, 20, 21)
    assert tags(bank) == sorted(bank.frames)
    assert [event.evicted for event in events if event.evicted] == [2, 4, 6, 8, 10, 12, 14]


def test_every_keeps_all():
    bank = annotated_bank(policy="every", capacity=2, mem_every=3)
    events = feed(bank, [0.0] * 200)
    assert bank.frames == (*range(0, 200, 3), 200)
    assert tags(bank) == sorted(bank.frames)
    assert all(event.evicted is None for event in events)


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_a_network_without_scorer_works_with_other_policies(policy):
    bank = MemoryBank(settled(policy=policy, mem_every=2))
    assert bank.annotate(0, entry(0)).relative_quality is None
    assert [told(bank.remember(t, entry(t))) for t in (1, 2)] == [("temporary", None, None), ("dynamic", None, None)]


def test_a_network_without_scorer_is_refused_by_policy_quality():
    bank = MemoryBank(settled())
    with pytest.raises(ValueError, match=r"'quality' needs a network with a quality scorer; choose 'latest'"):
        bank.annotate(0, entry(0))
        bank.remember(1, entry(1))


def test_a_silent_scorer_admits_by_interval():
    bank = MemoryBank(settled(mem_every=2))
    bank.annotate(0, entry(0, 0.0, 0.0))
    events = [bank.remember(t, entry(t, 0.0, 0.0)) for t in range(1, 5)]
    assert [event.stored for event in events] == ["temporary", "dynamic"] * 2
    assert {event.relative_quality for event in events} == {1.0}


def test_a_silent_scorer_stored_nothing_in_the_published_code():
    bank = PublishedBank(settled(mem_every=2))
    bank.annotate(0, entry(0, 0.0, 0.0))
    events = [bank.remember(t, entry(t, 0.9, 0.9)) for t in range(1, 9)]
    assert {event.stored for event in events} == {"temporary"}
    assert all(math.isnan(event.relative_quality) for event in events)


@pytest.mark.parametrize(
    ("scores", "reference", "ours", "published"),
    [
        ([0.4, 0.8], [0.5, 1.0], 0.8, 0.8),
        ([0.4, 0.0], [0.5, 0.0], 0.8, 0.4),
        ([0.4, 0.9], [0.5, 0.0], 0.8, 1.3),
        ([0.0, 0.8], [0.5, 0.5], 0.8, 0.8),
    ],
)
def test_quality_is_compared_over_the_objects_that_the_scorer_heard(scores, reference, ours, published):
    assert MemoryBank.relative_quality(scores, reference) == pytest.approx(ours)
    assert PublishedBank.relative_quality(scores, reference) == pytest.approx(published)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "best"}, "policy is 'best'; choose one of quality"),
        ({"gate": "all"}, "gate is 'all'; choose one of mean, object"),
        *(({name: value}, "must be at least 1") for name in ("capacity", "mem_every") for value in (0, -1)),
        ({"annotations": 0}, "must be at least 1"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MemoryOptions(**options)


def two_objects(frame, quality):
    """An entry of two objects, their keys being the frame number and 1000 more."""
    key = torch.stack([torch.full((POSITIONS, 3), float(frame + shift)) for shift in (0, 1000)])[None]
    return MemoryEntry(key, key.clone(), torch.tensor([[quality, quality / 2]]))


def test_a_selected_object_has_the_same_history_and_goes_on_by_itself():
    bank = MemoryBank(settled(mem_every=1, capacity=3))
    bank.annotate(0, two_objects(0, 0.5))
    for t in (1, 2):
        bank.remember(t, two_objects(t, 0.5))
    second = bank.select([1])
    assert second.frames == (0, 1, 2)
    assert second.reference.value == (0.25,)
    assert second.memory.key[0, 0, ::POSITIONS, 0].tolist() == [1000, 1001, 1002]
    second.remember(3, MemoryEntry(*(part[:, 1:] for part in two_objects(3, 0.5)[:3])))
    assert (bank.frames, second.frames) == ((0, 1, 2), (0, 1, 2, 3))
    assert bank.memory.key[0, :, ::POSITIONS, 0].tolist() == [[0, 1, 2], [1000, 1001, 1002]]


def test_quality_and_rank_can_come_from_elsewhere():
    bank = annotated_bank(mem_every=1, capacity=2, quality_threshold=0.8)
    assert bank.remember(1, entry(1, REFERENCE), relative=known(0.5)).rejected
    bank.remember(2, entry(2, 0.0), relative=known(1.0), rank=3.0)
    bank.remember(3, entry(3, 0.0), relative=known(1.0), rank=1.0)
    assert bank.remember(4, entry(4, 0.0), relative=known(1.0), rank=1.0).evicted == 3
