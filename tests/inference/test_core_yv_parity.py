"""Whole runs of the YouTube-VOS core equal those of the published code under `compat`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.memory.options import YOUTUBE_MEMORY
from model.qdmn import QDMN
from published.qdmn import PublishedCoreYV
from tests.helpers.deterministic import clip_tensors, fill, fixture
from tests.helpers.parity import assert_run, assert_same_masks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return fill(QDMN(score_activation="relu"))


def run(core, rgb, annotations):
    """Probabilities (K+1,T,H,W) with zeros before an object arrives, and the reports of all frames."""
    probabilities, reports = [], []
    for t, image in enumerate(rgb):
        probabilities.append(core.step(image, *annotations.get(t, ())))
        reports.append(core.report)
    rows = len(probabilities[-1])
    padded = [torch.cat([p, p.new_zeros(rows - len(p), *p.shape[1:])]) for p in probabilities]
    return torch.stack(padded, 1), reports


def assert_same_decisions(reports, trace):
    for record in trace:
        report = reports[record["frame"]]
        np.testing.assert_allclose(report.quality, record["obj_scores"], atol=1e-4)
        for bank in report.banks:
            np.testing.assert_allclose(bank.relative_quality, record["ratio"], atol=1e-4)
            assert (bank.stored == "dynamic") == record["stored"]
            stored = bank.memory_frames if record["stored"] else bank.memory_frames[:-1]
            for k in bank.objects:
                evicted = record["evict_frame_in_tensor"]
                assert bank.evicted == (evicted and evicted[str(k)])
                assert list(stored) == record["bank_frames"][str(k)]


@pytest.mark.parametrize(
    ("case", "objects", "options"),
    [
        ("A", 2, {"mem_every": 2, "capacity": 10}),
        ("B", 1, {"mem_every": 1, "capacity": 2}),
        ("D", 2, {"mem_every": 1, "capacity": 1}),
    ],
)
def test_run_equals_the_published_core(case, objects, options, network):
    expected = {k[2:]: v for k, v in fixture("qdmn_inference_yv").items() if k.startswith(f"{case}_")}
    rgb, masks = clip_tensors(12, 96, 144)
    annotations = {0: (masks[0, :1], [1]), 4: (masks[4, 1:], [2])}
    if objects == 1:
        annotations.pop(4)

    def segment(net, dtype):
        core = PublishedCoreYV(net, replace(YOUTUBE_MEMORY, **options), video_objects=objects)
        given = {t: (mask.to(dtype), ids) for t, (mask, ids) in annotations.items()}
        return run(core, rgb.to(dtype), given)

    def check(ours):
        probabilities, reports = ours
        assert_same_masks(probabilities, expected["masks"], expected["prob_sub"])
        assert_same_decisions(reports, json.loads(str(expected["trace_json"])))

    assert_run(segment, network, check)
