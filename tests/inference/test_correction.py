"""Gradient correction within the streaming cores."""

from dataclasses import replace

import pytest
import torch

from inference.correction import MaskCorrection
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import build_network
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory.read import MemoryReader
from tests.helpers.streams import clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["qdmn_small", "stcn", "stm_cycle"])
def network(request):
    torch.manual_seed(1)
    return build_network(request.param, backbone="resnet18").eval()


def stream(core, frames, mask):
    return torch.stack([core.step(image, mask if t == 0 else None) for t, image in enumerate(frames)])


MEMORY, OPTIONS = MemoryOptions(mem_every=2), {"correct_rate": 50.0, "correct_steps": 2}


def test_a_corrected_mask_reconstructs_the_annotated_frame_better(network):
    frames, masks = clip(2)
    correct = MaskCorrection(network, MemoryReader(top_k=None), rate=5.0, steps=5)
    correct.refer(frames[:1], masks[:1], (1, 2))
    start = masks[1:2] * 0.2 + 0.4
    prepared = correct._prepare(correct._references[0], (1, 2))

    def loss(given):
        memory = network.encode_memory(frames[1:2], given)
        return correct._loss(prepared, memory.key, memory.value).item()

    with torch.no_grad():
        assert loss(correct(frames[1:2], start, (1, 2))) < loss(start)


def test_frames_between_corrections_remember_what_was_predicted(network):
    frames, masks = clip(3)
    plain = stream(InferenceCore(network, MEMORY), frames, masks[0])
    corrected = stream(InferenceCore(network, MEMORY, **OPTIONS), frames, masks[0])
    torch.testing.assert_close(corrected, plain)


def test_corrected_masks_enter_the_memory(network):
    frames, masks = clip(5)
    plain = stream(InferenceCore(network, MEMORY), frames, masks[0])
    corrected = stream(InferenceCore(network, MEMORY, **OPTIONS), frames, masks[0])
    assert not torch.equal(corrected[3:], plain[3:])


def test_corrected_masks_are_written_on_demand(network):
    frames, masks = clip(3)
    plain = stream(InferenceCore(network, MEMORY, **OPTIONS), frames, masks[0])
    written = stream(InferenceCore(network, MEMORY, write_corrected=True, **OPTIONS), frames, masks[0])
    assert torch.equal(written[:2], plain[:2])
    assert not torch.equal(written[2], plain[2])


def test_objects_that_come_and_go_have_references_of_their_own(network):
    frames, masks = clip(8)
    core = InferenceCoreYV(network, replace(YOUTUBE_MEMORY, mem_every=2), **OPTIONS)
    core.step(frames[0], masks[0, :1], [4])
    core.step(frames[1])
    core.step(frames[2], masks[2, 1:], [9])
    for image in frames[3:6]:
        assert len(core.step(image)) == 3
    core.remove([4])
    for image in frames[6:]:
        assert len(core.step(image)) == 2


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"steps": 0}])
def test_senseless_numbers_are_refused(network, options):
    with pytest.raises(ValueError, match="correction rate"):
        MaskCorrection(network, MemoryReader(), **options)
