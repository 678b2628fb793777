"""Frames are memorised and scored only where the memory looks at them."""

import pytest
import torch

from inference_core import InferenceCore
from model.memory.options import MemoryOptions
from model.stcn import STCN
from tests.helpers.weight_files import small_network


def run(network, monkeypatch, policy="auto", **options):
    """Whether each frame after the first was memorised, and scored; and the probabilities."""
    calls, encode = [], network.encode_memory

    def watched(*args, scored=True, **others):
        calls.append(scored)
        return encode(*args, scored=scored, **others)

    monkeypatch.setattr(network, "encode_memory", watched)
    core = InferenceCore(network, MemoryOptions(policy=policy, mem_every=3, quality_threshold=-1.0), **options)
    torch.manual_seed(0)
    mask = torch.zeros(1, 32, 48)
    mask[0, 8:20, 8:20] = 1
    seen, results = [], []
    for t, image in enumerate(torch.randn(7, 3, 32, 48)):
        before = len(calls)
        results.append(core.step(image, mask if t == 0 else None))
        seen.append(calls[-1] if len(calls) > before else None)
    return seen[1:], torch.stack(results)


def test_only_frames_that_are_due_are_scored(monkeypatch):
    seen, results = run(small_network(), monkeypatch, score_all=False)
    assert seen == [False, False, True, False, False, True]
    everything, expected = run(small_network(), monkeypatch)
    assert everything == [True] * 6
    assert torch.equal(results, expected)


@pytest.mark.parametrize(("policy", "expected"), [("latest", [None, None, False] * 2), ("annotated", [None] * 6)])
def test_frames_that_nobody_looks_at_are_not_memorised(monkeypatch, policy, expected):
    torch.manual_seed(0)
    seen, _ = run(STCN(backbone="resnet18").eval(), monkeypatch, policy=policy)
    assert seen == expected
