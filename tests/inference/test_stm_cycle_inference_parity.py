"""Inference with STM-Cycle gives the numbers of the published code: correction and sequences."""

import numpy as np
import pytest
import torch

from inference.correction import MaskCorrection
from inference_core import InferenceCore
from model.layers.decoder import soft_aggregate
from model.losses import bootstrapped_cross_entropy, soft_iou_loss
from model.memory.options import MemoryOptions
from model.memory.read import MemoryReader, stack_entries
from published.stm_cycle import PublishedSTMCycleCore
from tests.helpers.deterministic import fixture
from tests.helpers.parity import assert_close
from tests.helpers.stm_cycle_networks import BACKBONES, build, frames_and_masks
from training.trainer import HARD_SHARE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    return request.param


def correction_inputs(backbone):
    expected = fixture(f"stm_cycle_{backbone}")
    frames, masks = frames_and_masks(expected)
    predicted = torch.from_numpy(expected["corr_before_mask"])[:, 1:3]
    return expected, frames, predicted, masks


def corrected(network, frames, predicted, masks, **options):
    correct = MaskCorrection(network, MemoryReader(top_k=None), **options)
    correct.refer(frames[:1], masks[:1], (1, 2))
    return correct(frames[1:2], predicted, (1, 2))


@pytest.mark.parametrize("rate", [150, 180])
def test_correction_of_a_mask(backbone, rate):
    expected, *inputs = correction_inputs(backbone)
    expected = {**expected, **fixture(f"stm_cycle_{backbone}_extra")}
    network = build(backbone)
    error = np.abs(
        corrected(network, *inputs, rate=rate, steps=10).numpy() - expected[f"corr{rate}_after_mask"][:, 1:3]
    )
    assert error.mean() <= 1e-4 and error.max() <= 3e-2
    once = corrected(network, *inputs, rate=150, steps=1)
    np.testing.assert_allclose(once, expected["corr150_after_1step_mask"][:, 1:3], atol=1e-4)


def reconstruction_loss(network, frames, masks, truth):
    """How well frame 0 is segmented from a memory of frame 1 with these masks."""
    entry = network.encode_memory(frames[1:2], masks)
    query = network.encode_query(frames[:1], masks[:, :1])
    logits = soft_aggregate(network.segment(query, stack_entries([entry]), MemoryReader(top_k=None)).sigmoid())
    labels = torch.cat([1 - truth.amax(1, keepdim=True), truth], 1).argmax(1)
    valid = torch.ones(1, 3)
    losses = bootstrapped_cross_entropy(logits, labels, HARD_SHARE, valid) + soft_iou_loss(logits, labels, valid)
    return losses.item()


@pytest.mark.parametrize("rate", [150, 180])
@torch.no_grad()
def test_correction_step_by_step(backbone, rate):
    expected, frames, masks, truth = correction_inputs(backbone)
    expected = {**expected, **fixture(f"stm_cycle_{backbone}_extra")}
    network = build(backbone)
    losses = [reconstruction_loss(network, frames, masks, truth[:1])]
    for step in range(10):
        before, masks = masks, corrected(network, frames, masks, truth, rate=rate, steps=1)
        if step == 0:
            assert_close((before - masks) / rate, expected["corr_grad_step1"][:, 1:3])
        losses.append(reconstruction_loss(network, frames, masks, truth[:1]))
    assert_close(losses, expected[f"corr{rate}_losses"])


@pytest.mark.parametrize(("case", "options"), [("nocorr", {}), ("corr", {"correct_rate": 150.0, "correct_steps": 3})])
def test_sequences(backbone, case, options):
    expected = fixture(f"stm_cycle_{backbone}_sequence")
    network = build(backbone, {"conv1_m.weight": 2, "conv1_bg.weight": 2})
    frames, labels = torch.from_numpy(expected["frames"]), torch.from_numpy(expected["labels"])
    masks = torch.stack([labels[0] == k for k in (1, 2)]).float()
    core = InferenceCore(network, MemoryOptions(policy="every", mem_every=2), **options)
    results = [core.step(image, masks if t == 0 else None) for t, image in enumerate(frames)]
    assert_close(torch.stack(results[1:]), expected[f"davis_{case}"])


def test_a_sequence_in_which_an_object_comes_later(backbone):
    expected = fixture(f"stm_cycle_{backbone}_sequence")
    network = build(backbone, {"conv1_m.weight": 2, "conv1_bg.weight": 2})
    frames, given = torch.from_numpy(expected["frames"]), torch.from_numpy(expected["vos_label_slots"])
    masks = {0: ((given[0] == 1).float()[None], [1]), 2: ((given[1] == 2).float()[None], [2])}
    core = PublishedSTMCycleCore(
        network, MemoryOptions(mem_every=2), objects=(1, 2), correct_rate=150.0, correct_steps=3
    )
    results = [core.step(image, *masks.get(t, ())) for t, image in enumerate(frames)]
    assert_close(torch.stack(results[1:]), expected["vos_corr"])


def test_what_follows_a_correction(backbone):
    expected, frames, predicted, masks = correction_inputs(backbone)
    network = build(backbone)
    after = corrected(network, frames, predicted, masks, rate=150, steps=10)
    reader = MemoryReader(top_k=None)
    with torch.no_grad():
        first, second = network.encode_memory(frames[:1], masks[:1]), network.encode_memory(frames[1:2], after)
        for frame, memory, name in ((0, [second], "ref_logits_after"), (2, [first, second], "next_logits")):
            query = network.encode_query(frames[frame : frame + 1], masks[:1, :1])
            logits = soft_aggregate(network.segment(query, stack_entries(memory), reader).sigmoid())
            assert_close(logits, expected[f"corr150_{name}"][:, :3])
