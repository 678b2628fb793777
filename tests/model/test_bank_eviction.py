"""Which frames the memory bank lets go, and which it never does."""

import math

import pytest

from model.memory.bank import MemoryBank
from published.qdmn import PublishedBank
from tests.helpers.bank_entries import POSITIONS, REFERENCE, annotated_bank, entry, feed, random_ratios, tags, told


def published_rule(ratios, *, capacity, mem_every, threshold, protect):
    """Admission and eviction as the paper and its code have them, on plain lists.

    Yields (frame stored or None, frame evicted or None, frames in memory but for the temporary one).
    """
    ranks, memory, counter, last_stored = [], [0], 0, 0
    for frame, ratio in enumerate(ratios, 1):
        if frame - last_stored < mem_every or not ratio > threshold:
            yield None, None, list(memory)
            continue
        counter, last_stored, evicted = counter + 1, frame, None
        if len(ranks) == capacity:
            values = [quality + math.exp(-(counter - number)) for number, quality in ranks]
            position = values.index(min(values))
            del ranks[position]
            evicted = memory.pop(position + 1 if protect else position)
        ranks.append((counter, ratio))
        memory.append(frame)
        yield frame, evicted, list(memory)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("capacity", "mem_every"), [(1, 1), (2, 3), (5, 1), (20, 5)])
@pytest.mark.parametrize("seed", range(3))
def test_admission_and_eviction_follow_the_published_rule(compat, capacity, mem_every, seed):
    ratios = random_ratios(60 * mem_every, seed)
    kind = PublishedBank if compat else MemoryBank
    bank = annotated_bank(capacity=capacity, mem_every=mem_every, quality_threshold=0.8, kind=kind)
    held = capacity + 1 if compat else capacity
    rule = published_rule(ratios, capacity=held, mem_every=mem_every, threshold=0.8, protect=not compat)
    evictions = 0
    for frame, (ratio, (stored, evicted, memory)) in enumerate(zip(ratios, rule, strict=True), 1):
        event = bank.remember(frame, entry(frame, REFERENCE * ratio))
        assert told(event) == ("temporary" if stored is None else "dynamic", evicted, ratio)
        assert bank.frames == (*memory, *([frame] if stored is None else []))
        assert tags(bank) == sorted(bank.frames)
        evictions += evicted is not None
    assert evictions > 5


@pytest.mark.parametrize("policy", ["quality", "latest"])
def test_evicting_never_drops_an_annotated_frame(policy):
    bank = annotated_bank(capacity=3, mem_every=1, policy=policy)
    feed(bank, random_ratios(50, 0))
    bank.annotate(51, entry(51, REFERENCE))
    feed(bank, random_ratios(5, 1), start=52)
    bank.annotate(57, entry(57, REFERENCE))
    events = feed(bank, random_ratios(100, 2), start=58)
    assert sum(event.evicted is not None for event in events) > 20
    assert {0, 51, 57} <= set(bank.frames)
    assert {0.0, 51.0, 57.0} <= set(tags(bank))


@pytest.mark.parametrize("policy", ["quality", "latest"])
def test_memory_stays_in_its_place_and_size_over_a_long_video(policy):
    capacity = 4
    bank = annotated_bank(capacity=capacity, mem_every=2, policy=policy)
    place = bank.memory.key.data_ptr(), bank.memory.value.data_ptr()
    largest = 0
    for t, ratio in enumerate(random_ratios(500, 7), 1):
        bank.remember(t, entry(t, REFERENCE * ratio))
        largest = max(largest, bank.memory.key.shape[2])
        assert (bank.memory.key.data_ptr(), bank.memory.value.data_ptr()) == place
    assert largest == (1 + capacity + 1) * POSITIONS


def test_the_evicted_frame_is_the_worst_in_quality_and_temporal_consistency():
    bank = annotated_bank(capacity=3, mem_every=1)
    *_, event = feed(bank, [0.9, 1.0, 0.85, 1.2])
    assert told(event) == ("dynamic", 1, pytest.approx(1.2))
    assert bank.frames == (0, 2, 3, 4)


def test_nearness_in_time_can_outweigh_quality():
    bank = annotated_bank(capacity=2, mem_every=1)
    assert feed(bank, [1.0, 0.9, 1.0])[-1].evicted == 1
    bank = annotated_bank(capacity=2, mem_every=1)
    assert feed(bank, [1.2, 0.9, 1.0])[-1].evicted == 2


def test_published_off_by_one_drops_the_annotated_frame():
    bank = annotated_bank(capacity=1, mem_every=1, kind=PublishedBank)
    events = feed(bank, [1.0, 1.0, 1.2])
    assert [event.evicted for event in events] == [None, None, 0]
    assert tags(bank) == [1, 2, 3]
