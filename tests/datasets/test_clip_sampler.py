"""Which samples make the batches of a run."""

import pytest

from datasets.train.clip_sampler import ClipSampler, derive_seed

LENGTH, BATCH, ITERATIONS = 50, 8, 20
STEPS_PER_EPOCH = 6


def batches(**options):
    options = {"total_batch": BATCH, "iterations": ITERATIONS, **options}
    return list(ClipSampler(options.pop("length", LENGTH), **options))


def flat(run):
    return [request for batch in run for request in batch]


def indices(requests):
    return [request.index for request in requests]


@pytest.mark.parametrize(("world", "parts"), [(1, 2), (2, 1), (2, 2), (4, 2), (8, 1), (1, 8)])
def test_processes_and_parts_share_the_batches_of_one_process(world, parts):
    shares = [batches(world=world, rank=rank, parts=parts) for rank in range(world)]
    assert all(len(part) == BATCH // world // parts for share in shares for part in share)
    in_turn = [request for turn in zip(*shares, strict=True) for part in turn for request in part]
    assert in_turn == flat(batches())


@pytest.mark.parametrize("start", [1, 5, 6, 13, 19, 20, 25])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_run_is_taken_up_where_it_stopped(start, parts):
    assert batches(start=start, parts=parts) == batches(parts=parts)[start * parts :]


@pytest.mark.parametrize(("start", "parts"), [(0, 1), (0, 4), (7, 2), (20, 1), (25, 2)])
def test_the_length_counts_the_batches_that_are_left(start, parts):
    sampler = ClipSampler(LENGTH, total_batch=BATCH, iterations=ITERATIONS, start=start, parts=parts)
    assert len(sampler) == len(list(sampler)) == max(0, ITERATIONS - start) * parts


def test_an_epoch_visits_no_sample_twice_and_drops_the_rest():
    run = batches()
    for first in range(0, 18, STEPS_PER_EPOCH):
        epoch = flat(run[first : first + STEPS_PER_EPOCH])
        assert len(epoch) == 48 and len({request.index for request in epoch}) == 48
        assert {request.epoch for request in epoch} == {first // STEPS_PER_EPOCH}
        assert all(0 <= request.index < LENGTH for request in epoch)


def test_every_sample_is_visited_in_some_epoch():
    assert {request.index for batch in batches(iterations=60) for request in batch} == set(range(LENGTH))


def test_an_epoch_without_a_rest_visits_all_samples():
    assert sorted(indices(flat(batches(length=48)[:6]))) == list(range(48))


def test_the_epochs_of_the_run_are_rounded_up():
    assert {request.epochs for batch in batches() for request in batch} == {4}
    assert {request.epochs for batch in batches(iterations=18) for request in batch} == {3}
    assert ClipSampler(LENGTH, total_batch=BATCH, iterations=19).epochs == 4


def test_every_epoch_and_every_run_has_its_own_order():
    run = [indices(batch) for batch in batches()]
    first, second, third = (flat(run[i : i + 6]) for i in (0, 6, 12))
    assert first != second != third != first
    assert first != sorted(first)
    assert run == [indices(batch) for batch in batches()]
    assert run != [indices(batch) for batch in batches(seed=1)]


def test_every_request_of_a_run_has_its_own_seed():
    run = flat(batches(iterations=300))
    assert len({request.seed for request in run}) == len(run) == 2400
    assert {request.seed for request in run}.isdisjoint(request.seed for request in flat(batches(seed=1)))


@pytest.mark.parametrize(("world", "parts"), [(3, 1), (1, 3), (4, 4)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(world, parts):
    with pytest.raises(ValueError, match=f"batch of 8 .* {world} processes in {parts} parts"):
        ClipSampler(LENGTH, total_batch=BATCH, iterations=1, world=world, parts=parts)


def test_data_too_few_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="7 samples, too few for a batch of 8"):
        ClipSampler(7, total_batch=BATCH, iterations=1)
    assert sorted(indices(batches(length=8, iterations=1)[0])) == list(range(8))


def test_seeds_depend_on_all_parts_and_their_order():
    parts = [(0,), (1,), (0, 1), (1, 0), (0, 0, 1), (1, 11), (11, 1)]
    assert len({derive_seed(*p) for p in parts}) == len(parts)
    assert derive_seed(3, 4) == derive_seed(3, 4)
