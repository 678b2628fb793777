"""Whole runs of the core equal those of the published code under `compat`."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inference_core import InferenceCore
from model.memory.options import MemoryOptions
from model.qdmn import QDMN
from published.qdmn import PublishedCore
from tests.helpers.deterministic import clip_tensors, fill, fixture
from tests.helpers.parity import PIXELS, assert_run, assert_same_masks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return fill(QDMN(score_activation="relu"))


def run(core, rgb, first_mask):
    """Probabilities (K+1,T,H,W) and the reports of all frames."""
    probabilities, reports = [], []
    for t, image in enumerate(rgb):
        probabilities.append(core.step(image, first_mask if t == 0 else None))
        reports.append(core.report)
    return torch.stack(probabilities, 1), reports


def assert_same_decisions(reports, trace):
    """The published code does not memorise the last frame, so its trace ends one frame earlier."""
    assert len(trace) == len(reports) - 2
    for report, expected in zip(reports[1:], trace, strict=False):
        assert report.frame == expected["frame"]
        np.testing.assert_allclose(report.quality, expected["obj_scores"], atol=1e-4)
        np.testing.assert_allclose(report.banks[0].relative_quality, expected["ratio"], atol=1e-4)
        assert report.banks[0].stored == ("dynamic" if expected["stored"] else "temporary")
        assert report.banks[0].evicted == expected["evict_frame_in_tensor"]
        stored = report.banks[0].memory_frames if expected["stored"] else report.banks[0].memory_frames[:-1]
        assert list(stored) == expected["bank_frames"]


class ShiftedPrior(PublishedCore):
    """Looks for the objects one memory position beside where they were."""

    def _prior(self):
        return super()._prior().roll(16, -1)


def published_run(case, frames=None):
    """A run of the published core: its arrays, and the check of probabilities and reports of its first frames."""
    expected = {k[2:]: v for k, v in fixture("qdmn_inference_davis").items() if k.startswith(f"{case}_")}
    masks, probabilities = expected["masks"][:frames], expected["prob_sub"][:, :frames]
    trace = json.loads(str(expected["trace_json"]))[: len(masks) - 2]

    def check(ours):
        assert_same_masks(ours[0], masks, probabilities)
        assert_same_decisions(ours[1], trace)

    return expected, check


def run_first(frames, objects, kind=PublishedCore, top_k="auto", **memory):
    """Runs a network of a data type over the first frames."""
    options = MemoryOptions(**memory)
    rgb, masks = clip_tensors(frames, 96, 144)
    return lambda net, dtype: run(kind(net, options, top_k=top_k), rgb.to(dtype), masks[0, :objects].to(dtype))


@pytest.mark.parametrize(
    ("case", "objects", "options"),
    [
        ("A", 2, {"mem_every": 2, "capacity": 2}),
        ("B", 2, {"mem_every": 1, "capacity": 2}),
        ("C", 2, {"mem_every": 1, "capacity": 2, "top_k": None}),
        ("D", 1, {"mem_every": 5, "capacity": 20, "top_k": None}),
        ("E", 2, {"top_k": None}),
    ],
)
def test_run_equals_the_published_core(case, objects, options, network):
    expected, check = published_run(case)
    scorer = network.quality_scorer.fc2
    kept = {k: v.clone() for k, v in scorer.state_dict().items()}
    with torch.no_grad():
        if case == "C":
            scorer.weight *= float(expected["fc2_weight_factor"])
        if case == "E":
            scorer.bias.fill_(-100)
    try:
        assert_run(run_first(len(expected["masks"]), objects, **options), network, check)
    finally:
        scorer.load_state_dict(kept)


@pytest.mark.parametrize(
    ("frames", "options"),
    [
        (2, {"capacity": 2, "top_k": 49}),
        (3, {"capacity": 2, "mem_every": 2}),
        (3, {"capacity": 2, "kind": ShiftedPrior}),
        (6, {"capacity": 1}),
        (6, {"capacity": 3, "kind": InferenceCore}),
    ],
    ids=["top_k", "mem_every", "prior", "capacity", "evicted"],
)
def test_a_run_that_is_off_by_one_is_told_apart(frames, options, network):
    """What the published code evicts is the slot before the one that it chose; `evicted` is that one."""
    _, check = published_run("B", frames)
    with pytest.raises(AssertionError):
        assert_run(run_first(frames, 2, **{"mem_every": 1, **options}), network, check)


def test_run_on_an_odd_size_equals_the_published_core(network):
    expected = fixture("qdmn_inference_davis")
    rgb, masks = (x[..., :90, :135] for x in clip_tensors(4, 96, 144))

    def segment(net, dtype):
        return run(PublishedCore(net, MemoryOptions(mem_every=2)), rgb.to(dtype), masks[0].to(dtype))[0]

    def check(probabilities):
        assert probabilities.shape == (3, 4, 90, 135)
        resized = F.interpolate(probabilities.transpose(0, 1), size=(135, 203), mode="bilinear", align_corners=False)
        assert (resized.argmax(1).numpy() != expected["F_masks"]).sum() <= PIXELS

    assert_run(segment, network, check)
