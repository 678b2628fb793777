"""The results of the streaming core with a small network of deterministic weights, and what it refuses."""

import pytest
import torch
from torch import nn

from inference_core import InferenceCore
from model.memory.options import MemoryOptions
from tests.helpers.one_mask_streams import clip, stream
from tests.helpers.streams import HEIGHT, WIDTH, small_network


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.mark.parametrize("objects", [1, 2, 3])
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (50, 97)])
def test_probabilities_sum_to_one_in_the_size_of_the_frame(network, objects, size):
    frames, mask = clip(3, objects, *size)
    probabilities, _ = stream(InferenceCore(network), frames, mask)
    assert probabilities.shape == (3, objects + 1, *size)
    assert probabilities.dtype == torch.float32
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3, *size))


def test_a_given_mask_is_the_result_of_its_frame(network):
    frames, mask = clip(1, 3)
    probabilities = InferenceCore(network).step(frames[0], mask)
    torch.testing.assert_close(probabilities[1:], mask, atol=1e-5, rtol=0)


def test_soft_masks_are_taken_as_they_are(network):
    frames, mask = clip(1, 1)
    soft = 0.25 + 0.5 * mask
    torch.testing.assert_close(
        InferenceCore(network).step(frames[0], soft)[1], soft.square()[0] / (soft.square() + (1 - soft).square())[0]
    )


def test_masks_of_any_type_are_understood(network):
    frames, mask = clip(2)
    expected, _ = stream(InferenceCore(network), frames, mask)
    for dtype in (torch.bool, torch.uint8, torch.float64):
        torch.testing.assert_close(stream(InferenceCore(network), frames, mask.to(dtype))[0], expected)


def test_an_odd_size_is_segmented_as_if_padded_with_zeros(network):
    frames, mask = clip(3, 2, 61, 83)
    padding = (6, 7, 1, 2)
    padded, _ = stream(InferenceCore(network), nn.functional.pad(frames, padding), nn.functional.pad(mask, padding))
    probabilities, _ = stream(InferenceCore(network), frames, mask)
    torch.testing.assert_close(padded[..., 1:-2, 6:-7], probabilities)


def test_streaming_a_clip_twice_gives_the_same(network):
    frames, mask = clip(6)
    (first, first_reports), (second, second_reports) = (
        stream(InferenceCore(network, MemoryOptions(mem_every=2, capacity=1)), frames, mask) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first_reports == second_reports


def test_the_inputs_are_left_as_they_were(network):
    frames, mask = clip(3)
    frames_before, mask_before = frames.clone(), mask.clone()
    stream(InferenceCore(network), frames, mask)
    assert torch.equal(frames, frames_before) and torch.equal(mask, mask_before)


def test_the_order_of_objects_changes_the_order_of_rows_only(network):
    frames, mask = clip(5, 3)
    order = [2, 0, 1]
    memory = MemoryOptions(mem_every=1, capacity=2)
    straight, reports = stream(InferenceCore(network, memory), frames, mask)
    permuted, permuted_reports = stream(InferenceCore(network, memory), frames, mask[order])
    torch.testing.assert_close(permuted[:, 0], straight[:, 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(permuted[:, 1:], straight[:, 1:][:, order], atol=1e-3, rtol=0)
    for report, permuted_report in zip(reports, permuted_reports, strict=True):
        assert permuted_report.quality == pytest.approx([report.quality[k] for k in order], abs=1e-3)
        assert permuted_report.banks[0].memory_frames == report.banks[0].memory_frames


def test_objects_of_one_stream_see_each_other(network):
    frames, mask = clip(2, 2)
    together, _ = stream(InferenceCore(network), frames, mask)
    alone, _ = stream(InferenceCore(network), frames, mask[:1])
    assert not torch.allclose(together[1, 1], alone[1, 1], atol=1e-3)


def test_no_graph_is_recorded(network):
    frames, mask = clip(2)
    probabilities, _ = stream(InferenceCore(network), frames, mask)
    assert not probabilities.requires_grad


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "first frame needs a mask"),
        (torch.zeros(0, HEIGHT, WIDTH), r"shape \(0, 64, 96\)"),
        (torch.zeros(HEIGHT, WIDTH), r"shape \(64, 96\); expected \(objects, height, width\)"),
        (torch.zeros(1, HEIGHT, WIDTH - 1), r"mask \(64, 95\) and frame \(64, 96\) differ in size"),
    ],
)
def test_a_first_mask_that_does_not_fit_is_refused(network, mask, message):
    frames, _ = clip(1)
    with pytest.raises(ValueError, match=message):
        InferenceCore(network).step(frames[0], mask)


def test_a_later_mask_with_other_objects_is_refused(network):
    frames, mask = clip(2, 2)
    core = InferenceCore(network)
    core.step(frames[0], mask)
    with pytest.raises(ValueError, match="mask has 1 objects; the stream began with 2"):
        core.step(frames[1], mask[:1])


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH + 16), (HEIGHT - 16, WIDTH), (WIDTH, HEIGHT)])
@pytest.mark.parametrize("with_mask", [False, True])
def test_a_frame_of_another_size_than_the_streams_is_refused(network, size, with_mask):
    frames, mask = clip(1)
    core = InferenceCore(network, MemoryOptions(mem_every=1))
    core.step(frames[0], mask)
    other, other_mask = clip(1, 2, *size)
    with pytest.raises(ValueError, match="the stream began with"):
        core.step(other[0], other_mask if with_mask else None)


def test_a_refused_frame_leaves_the_stream_as_it_was(network):
    frames, mask = clip(3)
    expected, expected_reports = stream(InferenceCore(network), frames, mask)
    core = InferenceCore(network)
    core.step(frames[0], mask)
    with pytest.raises(ValueError, match="objects"):
        core.step(frames[1], mask[:1])
    torch.testing.assert_close(torch.stack([core.step(image) for image in frames[1:]]), expected[1:])
    assert core.report == expected_reports[-1]


def test_an_object_without_a_single_pixel_is_allowed(network):
    frames, mask = clip(3)
    mask[1] = 0
    probabilities, _ = stream(InferenceCore(network), frames, mask)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3, HEIGHT, WIDTH))


@pytest.mark.parametrize("options", [{"top_k": 0}, {"km_sigma": 0}])
def test_senseless_options_are_refused_before_the_first_frame(network, options):
    with pytest.raises(ValueError, match="must be"):
        InferenceCore(network, **options)
