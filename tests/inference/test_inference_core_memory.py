"""What the streaming core keeps in memory and reports of it, and what it holds on to."""

import gc
import itertools
import weakref

import pytest
import torch

from inference_core import InferenceCore
from model.memory.options import MemoryOptions
from model.qdmn import QDMN
from tests.helpers.one_mask_streams import clip, stream
from tests.helpers.streams import small_network
from tests.helpers.tensors_held import bytes_within, tensors_within


@pytest.fixture(scope="module")
def network():
    return small_network()


def test_the_report_tells_what_happened(network):
    frames, mask = clip(5)
    core = InferenceCore(network, MemoryOptions(mem_every=2, quality_threshold=0.0))
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
    _, reports = stream(
        InferenceCore(network, MemoryOptions(mem_every=1, capacity=2, quality_threshold=0.0)), frames, mask
    )
    for before, after in itertools.pairwise(reports[2:]):
        (old,), (new,) = before.banks, after.banks
        assert new.evicted in old.memory_frames
        assert set(new.memory_frames) == set(old.memory_frames) - {new.evicted} | {after.frame}


def test_frames_of_poor_quality_stay_out_of_memory(network):
    frames, mask = clip(4)
    _, reports = stream(InferenceCore(network, MemoryOptions(mem_every=1, quality_threshold=100.0)), frames, mask)
    assert [report.banks[0].stored for report in reports] == ["permanent", "temporary", "temporary", "temporary"]


def test_a_later_mask_replaces_the_prediction_and_stays_in_memory(network):
    frames, mask = clip(9)
    correction = mask.flip(2)
    memory = MemoryOptions(mem_every=1, capacity=1, quality_threshold=0.0)
    plain, _ = stream(InferenceCore(network, memory), frames, mask)
    corrected, reports = stream(InferenceCore(network, memory), frames, mask, {3: correction})
    torch.testing.assert_close(corrected[:3], plain[:3])
    torch.testing.assert_close(corrected[3, 1:], correction, atol=1e-5, rtol=0)
    assert not torch.allclose(corrected[4], plain[4], atol=1e-3)
    assert reports[3].banks[0].stored == "permanent"
    assert all({0, 3} <= set(report.banks[0].memory_frames) for report in reports[3:])
    assert reports[-1].banks[0].memory_frames == (0, 3, 8)


def test_a_stream_holds_no_more_after_many_frames(network):
    frames, mask = clip(24, 1, 48, 64)
    core = InferenceCore(network, MemoryOptions(mem_every=1, capacity=2, quality_threshold=0.0))
    held = []
    for t, image in enumerate(frames.unbind()):
        core.step(image, mask if t == 0 else None)
        held.append(bytes_within(core))
    assert set(held[1:]) == {held[1]}
    assert held[1] < 2 * (1 + 2 + 1) * 12 * (64 + 128) * 4


def test_policy_every_holds_more_and_more(network):
    frames, mask = clip(12, 1, 48, 64)
    core = InferenceCore(network, MemoryOptions(mem_every=1, capacity=1, policy="every"))
    stream(core, frames[:2], mask)
    before = bytes_within(core)
    for image in frames[2:]:
        core.step(image)
    assert bytes_within(core) > 2 * before


def test_past_frames_are_not_kept(network):
    core = InferenceCore(network, MemoryOptions(mem_every=1))
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


class WithoutScorer(QDMN):
    """A network whose memory frames have no quality."""

    def encode_memory(self, image, masks, query=None, others=None, **options):
        return super().encode_memory(image, masks, query, others, **options)._replace(quality=None)


@pytest.fixture(scope="module")
def network_without_scorer(network):
    bare = WithoutScorer(backbone="resnet18").eval()
    bare.load_state_dict(network.state_dict())
    return bare


def test_a_network_without_scorer_streams_with_policy_latest(network, network_without_scorer):
    frames, mask = clip(4)
    memory = MemoryOptions(policy="latest", mem_every=1, capacity=1)
    expected, _ = stream(InferenceCore(network, memory), frames, mask)
    probabilities, reports = stream(InferenceCore(network_without_scorer, memory), frames, mask)
    torch.testing.assert_close(probabilities, expected)
    assert [report.quality for report in reports] == [()] * 4
    assert [report.banks[0].relative_quality for report in reports] == [None] * 4
    assert [report.banks[0].memory_frames for report in reports] == [(0,), (0, 1), (0, 2), (0, 3)]


def test_a_network_without_scorer_cannot_stream_by_quality(network_without_scorer):
    frames, mask = clip(2)
    with pytest.raises(ValueError, match="needs a network with a quality scorer; choose 'latest'"):
        stream(InferenceCore(network_without_scorer, MemoryOptions(policy="quality")), frames, mask)
