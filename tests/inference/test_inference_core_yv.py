"""The streaming core whose objects come and go, with a small network of deterministic weights."""

from dataclasses import replace

import pytest
import torch

from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from published.qdmn import PublishedCoreYV
from tests.helpers.streams import Scripted, assert_distributions, assert_same, banks, clip, run, small_network

EAGER = replace(YOUTUBE_MEMORY, mem_every=1, quality_threshold=0.0)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def scripted():
    return small_network(Scripted)


def late(masks, at=2):
    """Object 7 from the beginning, object 3 later."""
    return {0: (masks[0, :1], [7]), at: (masks[at, 1:2], [3])}


@pytest.mark.parametrize("size", [(64, 96), (50, 97)])
def test_before_the_first_mask_all_is_background(network, size):
    frames, _ = clip(3, 0, *size)
    core = InferenceCoreYV(network)
    probabilities, reports = run(core, frames, {})
    for p in probabilities:
        torch.testing.assert_close(p, torch.ones(1, *size))
    assert core.objects == ()
    assert [report.frame for report in reports] == [0, 1, 2]
    assert all(report.objects == report.quality == report.banks == () for report in reports)


def test_frames_before_the_first_mask_change_nothing(network):
    frames, masks = clip(5)
    waited, _ = run(InferenceCoreYV(network, EAGER), frames, {2: (masks[2],)})
    begun, _ = run(InferenceCoreYV(network, EAGER), frames[2:], {0: (masks[2],)})
    assert_same(waited[2:], begun)


def test_a_late_object_gets_its_row_at_the_end_and_a_memory_from_then_on(network):
    frames, masks = clip(5)
    core = InferenceCoreYV(network, EAGER)
    probabilities, reports = run(core, frames, late(masks))
    assert_distributions(probabilities, [1, 1, 2, 2, 2])
    assert [report.objects for report in reports] == [(7,)] * 2 + [(7, 3)] * 3
    assert core.objects == (7, 3)
    assert [len(report.quality) for report in reports] == [1, 1, 2, 2, 2]
    assert [banks(report)[7].memory_frames for report in reports] == [tuple(range(t + 1)) for t in range(5)]
    assert [banks(report)[3].memory_frames for report in reports[2:]] == [(2,), (2, 3), (2, 3, 4)]
    assert (banks(reports[2])[3].stored, banks(reports[2])[7].stored) == ("permanent", "dynamic")


def test_a_late_object_is_taken_as_it_is_given_and_segmented_from_then_on(network):
    frames, masks = clip(5)
    plain, _ = run(InferenceCoreYV(network), frames, {0: (masks[0, :1], [7])})
    probabilities, _ = run(InferenceCoreYV(network), frames, late(masks))
    assert_same(probabilities[:2], plain[:2])
    torch.testing.assert_close(probabilities[2][2], masks[2, 1], atol=1e-5, rtol=0)
    assert all(p[2].max() > 0.5 for p in probabilities[3:])


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("options", [{}, {"top_k": 20}])
def test_objects_given_on_one_frame_are_segmented_as_by_the_core_for_davis(network, objects, options):
    frames, masks = clip(6, objects)
    memory = MemoryOptions(mem_every=1 if options else 2, capacity=2, quality_threshold=0.0)
    expected, expected_reports = run(InferenceCore(network, memory, **options), frames, {0: (masks[0],)})
    ours, reports = run(InferenceCoreYV(network, memory, prior="max", **options), frames, {0: (masks[0],)})
    assert_same(ours, expected)
    assert reports == expected_reports


def test_the_published_prior_is_another_one(network):
    frames, masks = clip(2)
    largest, published = (
        run(InferenceCoreYV(network, prior=p), frames, {0: (masks[0],)})[0] for p in ("max", "softmax")
    )
    assert not torch.allclose(largest[1], published[1], atol=1e-4)


def test_a_frame_of_another_size_is_refused_also_before_the_first_mask(network):
    frames, _ = clip(1)
    core = InferenceCoreYV(network)
    core.step(frames[0])
    with pytest.raises(ValueError, match=r"frame is \(64, 80\); the stream began with \(64, 96\)"):
        core.step(frames[0, :, :, :80])


def test_an_unknown_prior_is_refused(network):
    with pytest.raises(ValueError, match="prior is 'mean'; choose one of softmax, max"):
        InferenceCoreYV(network, prior="mean")


@pytest.mark.parametrize("kind", [InferenceCore, InferenceCoreYV])
def test_a_stream_equals_its_steps_one_by_one(network, kind):
    frames, masks = clip(5)
    given = {0: masks[0], 3: masks[3]}
    expected, _ = run(kind(network, EAGER), frames, {t: (mask,) for t, mask in given.items()})
    assert_same(list(kind(network, EAGER).stream(frames, given)), expected)


def test_a_stream_yields_a_frame_before_it_takes_the_next(network):
    frames, masks = clip(3)
    taken = []
    images = (taken.append(t) or frames[t] for t in range(3))
    for t, _ in enumerate(InferenceCoreYV(network).stream(images, {0: masks[0]})):
        assert taken == list(range(t + 1))
    assert taken == [0, 1, 2]


def test_the_published_case_that_crashed_runs(network):
    frames, masks = clip(8)
    core = PublishedCoreYV(
        network, replace(YOUTUBE_MEMORY, capacity=1, mem_every=1, quality_threshold=0.0), video_objects=2
    )
    probabilities, reports = run(core, frames, {0: (masks[0, :1], [1]), 3: (masks[3, 1:], [2])})
    assert_distributions(probabilities, [1] * 3 + [2] * 5)
    assert all(bank.evicted is not None for bank in reports[-1].banks)


def test_with_a_gate_for_each_object_only_its_own_quality_decides(scripted):
    frames, masks = clip(5, height=48, width=64)
    admitted = {}
    for name, second in {
        "good": [0.5] * 5,
        "bad": [0.5, 0.1, 0.1, 0.1, 0.1],
        "mixed": [0.5, 0.1, 0.5, 0.5, 0.1],
    }.items():
        scripted.script = list(zip([0.5, 0.5, 0.1, 0.5, 0.1], second, strict=True))
        core = InferenceCoreYV(scripted, replace(YOUTUBE_MEMORY, gate="object", mem_every=1))
        _, reports = run(core, frames, {0: (masks[0],)})
        assert [banks(report)[1].rejected for report in reports] == [False, False, True, False, True]
        assert [banks(report)[1].relative_quality for report in reports] == pytest.approx([1, 1, 0.2, 1, 0.2])
        assert banks(reports[-1])[1].memory_frames == (0, 1, 3, 4)
        admitted[name] = banks(reports[-1])[2].memory_frames
    assert admitted == {"good": (0, 1, 2, 3, 4), "bad": (0, 4), "mixed": (0, 2, 3, 4)}


def test_with_a_gate_of_the_mean_all_banks_share_the_decision(scripted):
    frames, masks = clip(5, height=48, width=64)
    scripted.script = [[0.8], [0.8, 0.4], [0.8, 0.1], [0.7, 0.4], [0.1, 0.5]]
    core = InferenceCoreYV(scripted, replace(YOUTUBE_MEMORY, gate="mean", mem_every=1))
    _, reports = run(core, frames, {0: (masks[0, :1], [1]), 1: (masks[1, 1:], [2])})
    first, second = ([banks(report)[k] for report in reports[2:]] for k in (1, 2))
    assert [bank.relative_quality for bank in first] == pytest.approx([0.9 / 1.2, 1.1 / 1.2, 0.6 / 1.2])
    assert [bank.relative_quality for bank in second] == [bank.relative_quality for bank in first]
    for shared in (first, second):
        assert [bank.stored for bank in shared] == ["temporary", "dynamic", "temporary"]
        assert [bank.rejected for bank in shared] == [True, False, True]
