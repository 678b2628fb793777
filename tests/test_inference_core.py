"""The streaming core with a small network of deterministic weights."""

import gc
import itertools
import weakref

import pytest
import torch
from torch import nn

from inference_core import InferenceCore
from model.qdmn import QDMN
from tests.deterministic import clip_tensors, fill
from tests.tensors_held import bytes_within, tensors_within

HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope="module")
def network():
    return fill(QDMN(backbone="resnet18"))


def clip(frames, objects=2, height=HEIGHT, width=WIDTH):
    """Frames (T,3,H,W), and the masks (K,H,W) of the first one."""
    rgb, masks = clip_tensors(frames, height, width)
    third = torch.zeros(1, height, width)
    third[:, -height // 6 :, : width // 3] = 1
    return rgb, torch.cat([masks[0] * (1 - third), third])[:objects]


def stream(core, frames, first_mask, corrections=None):
    """Probabilities of all frames (T,K+1,H,W) and their reports; `corrections` are masks by frame."""
    masks = {0: first_mask, **(corrections or {})}
    probabilities, reports = [], []
    for t, image in enumerate(frames):
        probabilities.append(core.step(image, masks.get(t)))
        reports.append(core.report)
    return torch.stack(probabilities), reports


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
        stream(InferenceCore(network, mem_every=2, capacity=1), frames, mask) for _ in range(2)
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
    options = {"mem_every": 1, "capacity": 2}
    straight, reports = stream(InferenceCore(network, **options), frames, mask)
    permuted, permuted_reports = stream(InferenceCore(network, **options), frames, mask[order])
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


def test_the_report_tells_what_happened(network):
    frames, mask = clip(5)
    core = InferenceCore(network, mem_every=2, quality_threshold=0.0)
    assert core.report is None
    _, reports = stream(core, frames, mask)
    banks = [bank for report in reports for bank in report.banks]
    assert [report.frame for report in reports] == [0, 1, 2, 3, 4]
    assert [bank.stored for bank in banks] == ["permanent", "temporary", "dynamic", "temporary", "dynamic"]
    assert [bank.memory_frames for bank in banks] == [(0,), (0, 1), (0, 2), (0, 2, 3), (0, 2, 4)]
    assert [bank.evicted for bank in banks] == [None] * 5
    for report in reports:
        assert len(report.quality) == 2
        assert all(0 < quality < 1 for quality in report.quality)
        assert report.banks[0].relative_quality == pytest.approx(sum(report.quality) / sum(reports[0].quality))


def test_an_evicted_frame_is_reported_and_gone(network):
    frames, mask = clip(6)
    _, reports = stream(InferenceCore(network, mem_every=1, capacity=2, quality_threshold=0.0), frames, mask)
    for before, after in itertools.pairwise(reports[2:]):
        (old,), (new,) = before.banks, after.banks
        assert new.evicted in old.memory_frames
        assert set(new.memory_frames) == set(old.memory_frames) - {new.evicted} | {after.frame}


def test_frames_of_poor_quality_stay_out_of_memory(network):
    frames, mask = clip(4)
    _, reports = stream(InferenceCore(network, mem_every=1, quality_threshold=100.0), frames, mask)
    assert [report.banks[0].stored for report in reports] == ["permanent", "temporary", "temporary", "temporary"]


def test_a_later_mask_replaces_the_prediction_and_stays_in_memory(network):
    frames, mask = clip(9)
    correction = mask.flip(2)
    options = {"mem_every": 1, "capacity": 1, "quality_threshold": 0.0}
    plain, _ = stream(InferenceCore(network, **options), frames, mask)
    corrected, reports = stream(InferenceCore(network, **options), frames, mask, {3: correction})
    torch.testing.assert_close(corrected[:3], plain[:3])
    torch.testing.assert_close(corrected[3, 1:], correction, atol=1e-5, rtol=0)
    assert not torch.allclose(corrected[4], plain[4], atol=1e-3)
    assert reports[3].banks[0].stored == "permanent"
    assert all({0, 3} <= set(report.banks[0].memory_frames) for report in reports[3:])
    assert reports[-1].banks[0].memory_frames == (0, 3, 8)


def test_a_stream_holds_no_more_after_many_frames(network):
    frames, mask = clip(24, 1, 48, 64)
    core = InferenceCore(network, mem_every=1, capacity=2, quality_threshold=0.0)
    held = []
    for t, image in enumerate(frames.unbind()):
        core.step(image, mask if t == 0 else None)
        held.append(bytes_within(core))
    assert set(held[1:]) == {held[1]}
    assert held[1] < 2 * (1 + 2 + 1) * 12 * (64 + 128) * 4


def test_policy_every_holds_more_and_more(network):
    frames, mask = clip(12, 1, 48, 64)
    core = InferenceCore(network, mem_every=1, capacity=1, policy="every")
    stream(core, frames[:2], mask)
    before = bytes_within(core)
    for image in frames[2:]:
        core.step(image)
    assert bytes_within(core) > 2 * before


def test_past_frames_are_not_kept(network):
    core = InferenceCore(network, mem_every=1)
    frames, mask = clip(4)
    passed = []
    for t in range(4):
        image = frames[t].clone()
        probabilities = core.step(image, mask if t == 0 else None)
        assert image.untyped_storage().data_ptr() not in tensors_within(core)
        passed += [weakref.ref(image), weakref.ref(probabilities)]
        del image, probabilities
    gc.collect()
    assert [reference() for reference in passed] == [None] * 8


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
    core = InferenceCore(network, mem_every=1)
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


class WithoutScorer(QDMN):
    """A network whose memory frames have no quality."""

    def encode_memory(self, image, masks, query=None, others=None):
        return super().encode_memory(image, masks, query, others)._replace(quality=None)


@pytest.fixture(scope="module")
def network_without_scorer(network):
    bare = WithoutScorer(backbone="resnet18").eval()
    bare.load_state_dict(network.state_dict())
    return bare


def test_a_network_without_scorer_streams_with_policy_latest(network, network_without_scorer):
    frames, mask = clip(4)
    options = {"policy": "latest", "mem_every": 1, "capacity": 1}
    expected, _ = stream(InferenceCore(network, **options), frames, mask)
    probabilities, reports = stream(InferenceCore(network_without_scorer, **options), frames, mask)
    torch.testing.assert_close(probabilities, expected)
    assert [report.quality for report in reports] == [()] * 4
    assert [report.banks[0].relative_quality for report in reports] == [None] * 4
    assert [report.banks[0].memory_frames for report in reports] == [(0,), (0, 1), (0, 2), (0, 3)]


def test_a_network_without_scorer_cannot_stream_by_quality(network_without_scorer):
    frames, mask = clip(2)
    with pytest.raises(ValueError, match="needs a network with a quality scorer; choose 'latest'"):
        stream(InferenceCore(network_without_scorer), frames, mask)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"km_sigma": 0}, {"mem_every": 0}, {"capacity": 0}, {"policy": "?"}])
def test_senseless_options_are_refused_before_the_first_frame(network, options):
    with pytest.raises(ValueError, match=r"must be|choose one of"):
        InferenceCore(network, **options)
