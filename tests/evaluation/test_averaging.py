"""Test-time averaging over scales and mirror images, with a small network of deterministic weights."""

from itertools import pairwise

import pytest
import torch

from evaluation.averaging import AveragingCore, View
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model.layers.decoder import soft_aggregate
from model.memory.options import MemoryOptions
from tests.helpers.streams import assert_distributions, assert_same, banks, clip, run, small_network

EAGER = MemoryOptions(mem_every=1, capacity=2, quality_threshold=0.0)
BOTH_WAYS = [View(), View(flip=True)]


@pytest.fixture(scope="module")
def network():
    return small_network()


def averaging(network, views, kind=InferenceCoreYV, **options):
    return AveragingCore(lambda: kind(network, EAGER), views, **options)


def given_for(masks):
    """Object 8 from the beginning, 3 from frame 1, 8 again on frame 3."""
    return {0: (masks[0, :1], [8]), 1: (masks[1, 1:2], [3]), 3: (masks[3, :1], [8])}


@pytest.mark.parametrize("views", [[View()], [View(), View()]])
@pytest.mark.parametrize("kind", [InferenceCore, InferenceCoreYV])
def test_views_of_the_plain_frame_equal_the_plain_core(network, views, kind):
    frames, masks = clip(5)
    given = {0: (masks[0],), 3: (masks[3],)} if kind is InferenceCore else given_for(masks)
    expected, expected_reports = run(kind(network, EAGER), frames, given)
    ours, reports = run(averaging(network, views, kind), frames, given)
    assert_same(ours, expected)
    assert reports == expected_reports


def test_a_mirrored_clip_gives_the_mirrored_result(network):
    frames, masks = clip(4)
    straight, reports = run(averaging(network, BOTH_WAYS), frames, {0: (masks[0],)})
    mirrored, _ = run(averaging(network, BOTH_WAYS), frames.flip(-1), {0: (masks[0].flip(-1),)})
    assert_same([p.flip(-1) for p in mirrored], straight, atol=1e-4)
    plain, _ = run(InferenceCoreYV(network, EAGER), frames, {0: (masks[0],)})
    assert not torch.allclose(straight[-1], plain[-1], atol=1e-3)
    assert_distributions(straight, [2] * 4)
    assert [report.frame for report in reports] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("views", "size"),
    [
        ([View(1.5), View(1.0)], (92, 124)),
        ([View(1.0), View(0.5, flip=True)], (61, 83)),
        ([View(0.75)], (46, 62)),
        ([View(0.1)], (16, 16)),
    ],
)
def test_the_result_has_the_size_of_the_first_view(network, views, size):
    frames, masks = clip(3, 2, 61, 83)
    probabilities, _ = run(averaging(network, views), frames, {0: (masks[0],)})
    assert [p.shape[1:] for p in probabilities] == [size] * 3
    assert_distributions(probabilities, [2] * 3)


def test_the_masks_of_all_views_are_averaged_before_objects_compete(network):
    frames, masks = clip(2)
    views = [View(1.0), View(0.5), View(1.5, flip=True)]
    predicted = []
    for view in views:
        core = InferenceCoreYV(network, EAGER)
        core.step(view.image(frames[0]), view.mask(masks[0]))
        predicted.append(view.back(core.predict(view.image(frames[1]))[0], frames.shape[-2:]))
    assert all((a - b).abs().max() > 0.1 for a, b in pairwise(predicted))
    averaged, _ = run(averaging(network, views), frames, {0: (masks[0],)})
    expected = soft_aggregate(torch.stack(predicted).mean(0, keepdim=True)).softmax(1)[0]
    torch.testing.assert_close(averaged[1], expected, atol=1e-5, rtol=0)


def two_squares():
    """One object of 128 x 128 pixels, and one of half that extent, which in the frame of twice the size has it."""
    mask = torch.zeros(2, 160, 256)
    mask[0, 16:144, 8:136] = 1
    mask[1, 48:112, 176:240] = 1
    return clip(3, height=160, width=256)[0], mask


def predicted_by(network, views, frames, masks):
    """The last frame's masks, as each view by itself predicts them behind given ones."""
    for view in views:
        core = InferenceCoreYV(network, EAGER)
        for image, mask in zip(frames, masks, strict=False):
            core.step(view.image(image), view.mask(mask))
        yield view.back(core.predict(view.image(frames[-1]))[0], frames.shape[-2:])


def test_by_size_each_object_counts_most_where_it_is_as_large_as_in_training(network):
    views = [View(1.0), View(0.5), View(2.0)]
    frames, mask = two_squares()
    one, half, double = predicted_by(network, views, frames[:2], [mask])
    ours, _ = run(averaging(network, views, by_size=True), frames[:2], {0: (mask,)})
    weighted = torch.stack([(4 * one + half + double)[0] / 6, (4 * one + half + 16 * double)[1] / 21])
    expected = soft_aggregate(weighted[None]).softmax(1)[0]
    torch.testing.assert_close(ours[1], expected, atol=1e-5, rtol=0)


def test_by_size_an_object_that_is_hidden_counts_as_it_was(network):
    views = [View(1.0), View(0.5)]
    frames, mask = two_squares()
    given = [mask[:1], torch.zeros(1, 160, 256)]
    one, half = predicted_by(network, views, frames, given)
    ours, _ = run(averaging(network, views, by_size=True), frames, {t: (mask,) for t, mask in enumerate(given)})
    expected = soft_aggregate((0.8 * one + 0.2 * half)[None]).softmax(1)[0]
    torch.testing.assert_close(ours[2], expected, atol=1e-5, rtol=0)


def test_by_size_objects_come_and_go(network):
    frames, masks = clip(5)
    core = averaging(network, [View(), View(0.5)], by_size=True)
    probabilities, _ = run(core, frames, given_for(masks))
    assert_distributions(probabilities, [1, 2, 2, 2, 2])
    core.remove([8])
    assert_distributions([core.step(frames[4])], [1])


def test_late_objects_and_corrections_come_through(network):
    frames, masks = clip(5)
    core = averaging(network, [View(), View(0.75), View(flip=True)])
    probabilities, reports = run(core, frames, given_for(masks))
    assert core.objects == (8, 3) and core.report is reports[-1]
    assert_distributions(probabilities, [1, 2, 2, 2, 2])
    torch.testing.assert_close(probabilities[1][2], masks[1, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(probabilities[3][1], masks[3, 0], atol=1e-5, rtol=0)
    assert {k: bank.stored for k, bank in banks(reports[3]).items()} == {8: "permanent", 3: "dynamic"}
    assert banks(reports[4])[3].memory_frames[0] == 1


def test_before_the_first_mask_all_is_background(network):
    frames, _ = clip(2)
    probabilities, _ = run(averaging(network, [View(0.5), View(flip=True)]), frames, {})
    assert_same(probabilities, [torch.ones(1, 32, 48)] * 2)


def test_objects_are_removed_from_all_views(network):
    frames, masks = clip(4, 3)
    core = averaging(network, BOTH_WAYS)
    run(core, frames[:2], {0: (masks[0], [4, 5, 6])})
    core.remove([5])
    probabilities, _ = run(core, frames[2:], {})
    assert core.objects == (4, 6)
    assert_distributions(probabilities, [2, 2])
    with pytest.raises(ValueError, match="object 5 is not in the stream"):
        core.remove([5])


@pytest.mark.parametrize(
    ("rows", "ids"), [(slice(0, 1), [1, 2]), (slice(0, 2), [1, 1]), (slice(0, 0), [1]), (slice(0, 2), [0, 1])]
)
def test_a_refused_mask_leaves_the_stream_as_it_was(network, rows, ids):
    frames, masks = clip(3)
    views = [View(), View(0.5)]
    expected, _ = run(averaging(network, views), frames, {0: (masks[0],)})
    core = averaging(network, views)
    core.step(frames[0], masks[0])
    with pytest.raises(ValueError, match=r"rows|different|shape"):
        core.step(frames[1], masks[1, rows], ids)
    assert_same([core.step(image) for image in frames[1:]], expected[1:])


def test_a_mask_beyond_one_is_refused_as_by_the_plain_core(network):
    frames, masks = clip(1)
    with pytest.raises(ValueError, match="mask values must lie in"):
        averaging(network, BOTH_WAYS).step(frames[0], 255 * masks[0])


def test_averaging_without_views_is_refused(network):
    with pytest.raises(ValueError, match="at least one view"):
        averaging(network, [])


@pytest.mark.parametrize("view", [View(), View(flip=True), View(0.5), View(1.3, True), View(2.0), View(0.01)])
@pytest.mark.parametrize("size", [(64, 96), (61, 83)])
@pytest.mark.parametrize("objects", [0, 1, 3])
def test_going_back_undoes_a_view_in_shape(view, size, objects):
    mask = torch.zeros(objects, *size)
    seen = view.mask(mask)
    assert seen.shape == (objects, *view.size(mask)) == (objects, *view.image(torch.zeros(3, *size)).shape[-2:])
    assert view.back(seen, size).shape == mask.shape


@pytest.mark.parametrize("view", [View(), View(flip=True), View(0.5), View(0.5, True), View(1.5, True), View(2.0)])
def test_going_back_undoes_a_view_in_place(view):
    _, masks = clip(1, 3)
    back = view.back(view.mask(masks[0]), masks.shape[-2:])
    assert ((back > 0.5) == (masks[0] > 0.5)).float().mean() > 0.98
    assert back.min() >= 0 and back.max() <= 1
    if view.scale == 1:
        assert torch.equal(back, masks[0])
