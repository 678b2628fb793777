"""Objects that leave a stream, and how much memory a stream with many comings and goings holds."""

from dataclasses import replace

import pytest
import torch

from inference_core_yv import InferenceCoreYV
from model.memory.options import MemoryOptions
from tests.helpers.streams import assert_distributions, assert_same, banks, clip, run, small_network
from tests.helpers.tensors_held import bytes_within

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 48, 64
EAGER = MemoryOptions(mem_every=1, capacity=2, quality_threshold=0.0)
SLOT = 3 * 4 * (64 + 128) * 4  # bytes of one object on one frame: grid cells, channels, float32


@pytest.fixture(scope="module")
def network():
    return small_network()


def begun(network, frames, masks, **changes):
    """A core with the objects 5 and 6 from the beginning and 9 from frame 1, after three frames."""
    core = InferenceCoreYV(network, replace(EAGER, **changes))
    run(core, frames[:3], {0: (masks[0, :2], [5, 6]), 1: (masks[1, 2:3], [9])})
    return core


@pytest.mark.parametrize("gate", ["mean", "object"])
@pytest.mark.parametrize(("gone", "kept"), [([5], (6, 9)), ([6], (5, 9)), ([9], (5, 6)), ([9, 5], (6,))])
def test_the_rows_and_the_memory_of_removed_objects_vanish_and_the_stream_goes_on(network, gate, gone, kept):
    frames, masks = clip(6, 3, HEIGHT, WIDTH)
    core = begun(network, frames, masks, gate=gate)
    before = bytes_within(core)
    core.remove(gone)
    assert core.objects == kept
    slots = EAGER.capacity + 2
    assert before - bytes_within(core) == len(gone) * (slots * SLOT + HEIGHT * WIDTH * 4)
    probabilities, reports = run(core, frames[3:], {})
    assert_distributions(probabilities, [len(kept)] * 3)
    assert reports[-1].objects == kept and tuple(banks(reports[-1])) == kept
    assert [report.frame for report in reports] == [3, 4, 5]


def test_what_is_left_goes_on_from_its_own_memory(network):
    frames, masks = clip(6, 3, HEIGHT, WIDTH)
    core = begun(network, frames, masks)
    before = banks(core.report)
    core.remove([5])
    core.step(frames[3])
    after = banks(core.report)
    for k in (6, 9):
        kept = set(before[k].memory_frames) - {after[k].evicted}
        assert set(after[k].memory_frames) == kept | {3}


@pytest.mark.parametrize("prior", ["max", "softmax"])
def test_where_a_removed_object_was_is_background_for_the_next_frame(network, monkeypatch, prior):
    frames, masks = clip(4, 2, HEIGHT, WIDTH)
    core = InferenceCoreYV(network, EAGER, prior=prior)
    probabilities, _ = run(core, frames[:3], {0: (masks[0],)})
    core.remove([2])
    seen, encode_query = [], network.encode_query
    monkeypatch.setattr(
        network, "encode_query", lambda image, prior, features: seen.append(prior) or encode_query(image, prior)
    )
    core.step(frames[3])
    background, first, second = probabilities[2]
    left = torch.stack([background + second, first])
    expected = left[1] if prior == "max" else left.softmax(0)[1]
    torch.testing.assert_close(seen[0][0, 0], expected)


def test_after_all_are_removed_a_stream_begins_anew(network):
    frames, masks = clip(7, 3, HEIGHT, WIDTH)
    core = begun(network, frames, masks)
    core.remove([5, 6, 9])
    assert core.objects == ()
    assert bytes_within(core) == HEIGHT * WIDTH * 4
    torch.testing.assert_close(core.step(frames[3]), torch.ones(1, HEIGHT, WIDTH))
    assert core.report.banks == ()
    ours, reports = run(core, frames[4:], {0: (masks[4, :2], [6, 1])})
    expected, expected_reports = run(InferenceCoreYV(network, EAGER), frames[4:], {0: (masks[4, :2], [6, 1])})
    assert_same(ours, expected)
    assert reports[-1].objects == (6, 1) and reports[-1].quality == expected_reports[-1].quality
    assert banks(reports[-1])[6].memory_frames == (4, 5, 6)


def test_an_object_that_comes_back_starts_without_a_past(network):
    frames, masks = clip(5, 3, HEIGHT, WIDTH)
    core = begun(network, frames, masks)
    core.remove([5])
    probabilities = core.step(frames[3], masks[3, :1], [5])
    assert core.objects == (6, 9, 5)
    torch.testing.assert_close(probabilities[3], masks[3, 0], atol=1e-5, rtol=0)
    assert banks(core.report)[5].memory_frames == (3,)
    assert len(core.step(frames[4])) == 4


@pytest.mark.parametrize("gone", [[4], [5, 4], [0]])
def test_removing_an_unknown_object_is_refused_and_removes_nothing(network, gone):
    frames, masks = clip(4, 3, HEIGHT, WIDTH)
    core, undisturbed = begun(network, frames, masks), begun(network, frames, masks)
    with pytest.raises(ValueError, match=rf"object {gone[-1]} is not in the stream, which has \(5, 6, 9\)"):
        core.remove(gone)
    assert_same([core.step(frames[3])], [undisturbed.step(frames[3])])


def held_while(core, frames, given):
    """Bytes held after each frame."""
    held = []
    for t, image in enumerate(frames):
        core.step(image, *given(t))
        held.append(bytes_within(core))
    return held


@pytest.mark.parametrize("gate", ["mean", "object"])
def test_memory_stays_the_same_over_many_frames_with_five_late_objects(network, gate):
    frames, masks = clip(20, 5, HEIGHT, WIDTH)
    core = InferenceCoreYV(network, replace(EAGER, gate=gate))
    held = held_while(core, frames, lambda t: (masks[t, t - 1 : t], [t]) if 1 <= t <= 5 else ())
    assert core.objects == (1, 2, 3, 4, 5)
    assert set(held[5:]) == {held[5]}
    assert held[5] == 5 * (EAGER.capacity + 2) * SLOT + 6 * HEIGHT * WIDTH * 4


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 1), slice(1, 2)])
def test_memory_stays_the_same_over_many_annotated_frames(network, rows):
    frames, masks = clip(20, 2, HEIGHT, WIDTH)
    core = InferenceCoreYV(network, replace(EAGER, annotations=3))
    held = held_while(
        core, frames, lambda t: (masks[t, rows if t else slice(0, 2)], [1, 2][rows if t else slice(0, 2)])
    )
    assert set(held[6:]) == {held[6]}
    assert held[6] <= 2 * 2 * (EAGER.capacity + 2) * SLOT + 3 * HEIGHT * WIDTH * 4


def test_memory_stays_the_same_while_objects_come_and_go(network):
    frames, masks = clip(20, 2, HEIGHT, WIDTH)
    core = InferenceCoreYV(network, EAGER)
    held = []
    for t, image in enumerate(frames):
        core.step(image, masks[t, t % 2 : t % 2 + 1], [t + 1])
        held.append(bytes_within(core))
        core.remove([t + 1])
    assert set(held) == {held[0]}
