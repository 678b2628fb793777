"""Working on a few objects at a time gives the same as all at once, also when a GPU runs out of memory."""

import logging
from dataclasses import replace

import pytest
import torch

from inference.chunks import LEAST_ELEMENTS, ObjectSteps
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model.memory.options import MemoryOptions
from model.memory.read import MemoryReader
from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN
from tests.helpers.streams import assert_same, clip, run, small_network

pytestmark = pytest.mark.slow

HEIGHT, WIDTH, FRAMES = 32, 64, 5
EAGER = MemoryOptions(mem_every=1, capacity=2, quality_threshold=0.0)


def chunked(reader, size=None):
    return ObjectSteps(small_network(), reader, object_chunk=size, decode_roi=False)


class Crowded:
    """A function that runs out of memory for more than so many objects, or that many affinities."""

    def __init__(self, reader, most_objects, most_elements=1 << 40):
        self.reader, self.most_objects, self.most_elements = reader, most_objects, most_elements
        self.calls = 0

    def __call__(self, start, stop):
        self.calls += 1
        if stop - start > self.most_objects or self.reader.max_elements > self.most_elements:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(start, stop))


def objects_of(results):
    return [k for chunk in results for k in chunk]


@pytest.mark.parametrize(("size", "chunks"), [(None, [7]), (7, [7]), (9, [7]), (3, [3, 3, 1]), (1, [1] * 7)])
def test_chunks_follow_each_other_and_are_no_larger_than_asked(size, chunks):
    results = chunked(MemoryReader(), size).in_chunks(lambda start, stop: list(range(start, stop)), 7)
    assert [len(chunk) for chunk in results] == chunks
    assert objects_of(results) == list(range(7))


def test_no_objects_give_no_results():
    assert chunked(MemoryReader()).in_chunks(lambda start, stop: [start], 0) == []


@pytest.mark.parametrize("size", [0, -1])
def test_chunks_of_no_object_are_refused(size):
    with pytest.raises(ValueError, match=f"object chunk is {size}; it must be at least 1"):
        chunked(MemoryReader(), size)


@pytest.mark.parametrize("most_objects", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [None, 5])
def test_chunks_shrink_until_they_fit_and_stay_small(caplog, most_objects, size):
    reader = MemoryReader()
    chunks, function = chunked(reader, size), Crowded(reader, most_objects)
    with caplog.at_level(logging.WARNING):
        results = chunks.in_chunks(function, 7)
    assert objects_of(results) == list(range(7))
    assert 1 <= chunks.object_chunk <= most_objects
    assert caplog.records and all("out of memory: going on with" in r.getMessage() for r in caplog.records)
    assert f"{chunks.object_chunk} objects" in caplog.records[-1].getMessage()
    caplog.clear()
    assert objects_of(chunks.in_chunks(function, 7)) == list(range(7))
    assert not caplog.records


def test_what_is_done_is_not_done_again():
    reader, done = MemoryReader(), []

    def function(start, stop):
        if start == 2 and stop > 3:
            raise torch.OutOfMemoryError
        done.extend(range(start, stop))

    chunked(reader, 2).in_chunks(function, 5)
    assert done == [0, 1, 2, 3, 4]


def test_the_read_shrinks_with_the_objects_and_further_when_one_object_is_too_many():
    reader = MemoryReader()
    function = Crowded(reader, 1, most_elements=1 << 16)
    chunks = chunked(reader)
    assert objects_of(chunks.in_chunks(function, 3)) == [0, 1, 2]
    assert chunks.object_chunk == 1 and reader.max_elements == 1 << 16


def test_the_error_comes_through_when_nothing_helps():
    reader = MemoryReader()
    chunks, function = chunked(reader), Crowded(reader, 0)
    with pytest.raises(torch.OutOfMemoryError):
        chunks.in_chunks(function, 7)
    assert chunks.object_chunk == 1 and reader.max_elements == LEAST_ELEMENTS
    assert function.calls < 20


def test_other_errors_are_not_taken_for_a_lack_of_memory(caplog):
    calls = []

    def function(start, stop):
        calls.append((start, stop))
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        chunked(MemoryReader()).in_chunks(function, 4)
    assert calls == [(0, 4)] and not caplog.records


class DoublePrecision:
    """Makes a network work in double precision, so that rounding does not hide differences."""

    def encode_query(self, image, prior, features=None):
        return super().encode_query(image.double(), prior.double(), features)

    def encode_memory(self, image, masks, query=None, others=None, **options):
        return super().encode_memory(image.double(), masks.double(), query, others.double(), **options)


class PreciseQDMN(DoublePrecision, QDMN):
    pass


class PreciseSmallQDMN(DoublePrecision, SmallQDMN):
    pass


def five_objects():
    """A clip, and masks that bring five objects in three groups and correct one, which parts its group."""
    rgb, masks = clip(FRAMES, 5, HEIGHT, WIDTH)
    given = {
        0: (masks[0, :2], [1, 2]),
        1: (masks[1, 2:4], [3, 4]),
        2: (masks[2, 4:], [5]),
        3: (masks[3, 3:4], [4]),
    }
    return rgb, given


@pytest.fixture(scope="module")
def network():
    return small_network(PreciseQDMN).double()


@pytest.fixture(scope="module")
def undisturbed(network):
    """Probabilities and reports of the stream of all objects at once."""
    return run(InferenceCoreYV(network, EAGER, top_k=10), *five_objects())


def assert_same_stream(ours, expected):
    assert_same(ours[0], expected[0], atol=1e-5)
    for a, b in zip(ours[1], expected[1], strict=True):
        assert (a.frame, a.objects) == (b.frame, b.objects)
        assert a.quality == pytest.approx(b.quality, abs=1e-5)
        assert [bank.memory_frames for bank in a.banks] == [bank.memory_frames for bank in b.banks]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_chunks_of_objects_give_the_same_as_all_at_once(network, undisturbed, size):
    ours = run(InferenceCoreYV(network, EAGER, top_k=10, object_chunk=size), *five_objects())
    assert len(ours[1][-1].banks) == 4
    assert_same_stream(ours, undisturbed)


def test_chunks_give_the_same_with_a_gate_for_each_object(network):
    expected, ours = (
        run(
            InferenceCoreYV(network, replace(EAGER, gate="object"), top_k=10, object_chunk=size),
            *five_objects(),
        )
        for size in (None, 2)
    )
    assert_same_stream(ours, expected)


def test_chunks_give_the_same_where_the_memory_shares_the_frames_features():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PreciseSmallQDMN(backbone="resnet18").double().eval()
    expected, ours = (
        run(InferenceCoreYV(network, EAGER, top_k=10, object_chunk=size), *five_objects()) for size in (None, 2)
    )
    assert_same_stream(ours, expected)


def failing(monkeypatch, network, name, is_due):
    """Let a method of the network run out of memory on the calls for which `is_due(number)`."""
    method, calls = getattr(network, name), []

    def crowded(*args, **options):
        calls.append(name)
        if is_due(len(calls) - 1):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return method(*args, **options)

    monkeypatch.setattr(network, name, crowded)


@pytest.mark.parametrize(("name", "call"), [("segment", 0), ("segment", 3), ("encode_memory", 0), ("encode_memory", 4)])
def test_a_stream_that_runs_out_of_memory_once_goes_on_unharmed(network, undisturbed, monkeypatch, caplog, name, call):
    failing(monkeypatch, network, name, lambda number: number == call)
    ours = run(InferenceCoreYV(network, EAGER, top_k=10), *five_objects())
    assert len(caplog.records) == 1
    assert_same_stream(ours, undisturbed)


def tried_again(network, monkeypatch, name, at):
    """The stream whose frame `at` runs out of memory for good and is then given again."""
    frames, given = five_objects()
    core = InferenceCoreYV(network, EAGER, top_k=10)
    probabilities, reports = run(core, frames[:at], given)
    before = core.objects, core.report
    with monkeypatch.context() as patch:
        failing(patch, network, name, lambda number: True)
        with pytest.raises(torch.OutOfMemoryError):
            core.step(frames[at], *given.get(at, ()))
    assert (core.objects, core.report) == before
    rest, more = run(core, frames[at:], {t - at: masks for t, masks in given.items() if t >= at})
    return probabilities + rest, reports + more


@pytest.mark.parametrize("at", [1, 4])
def test_a_frame_whose_masks_do_not_fit_into_memory_can_be_given_again(network, undisturbed, monkeypatch, at):
    assert_same_stream(tried_again(network, monkeypatch, "segment", at), undisturbed)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_frame_whose_memory_does_not_fit_into_memory_can_be_given_again(network, undisturbed, monkeypatch, at):
    assert_same_stream(tried_again(network, monkeypatch, "encode_memory", at), undisturbed)


def test_chunks_of_no_object_are_refused_by_the_core(network):
    with pytest.raises(ValueError, match="object chunk is 0"):
        InferenceCore(network, object_chunk=0)
