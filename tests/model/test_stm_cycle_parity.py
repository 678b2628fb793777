"""STM-Cycle gives the numbers of the published network."""

import numpy as np
import pytest
import torch

from model.layers.decoder import soft_aggregate
from model.losses import HARD_SHARE, bootstrapped_cross_entropy, soft_iou_loss
from model.memory.read import MemoryReader, stack_entries
from model.weights.published import to_published
from tests.helpers.deterministic import fixture
from tests.helpers.parity import ROUNDING, assert_close
from tests.helpers.stm_cycle_networks import BACKBONES, SHARP, build, entries_of, frames_and_masks
from training.trainer import ClipForward, Objective

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    return request.param


def check_network(network, inputs, expected, prefix=""):
    frames, masks = frames_and_masks(inputs)
    entries = [network.encode_memory(frames[t : t + 1], masks[t : t + 1]) for t in (0, 1)]
    query = network.encode_query(frames[2:3], masks[:1, :1])
    for t, entry in enumerate(entries):
        assert_close(entry.key[0], expected[f"{prefix}mem_key_frame{t}"])
        assert_close(entry.value[0], expected[f"{prefix}mem_value_frame{t}"])
    assert_close(query.key, expected[f"{prefix}query_key_frame2"])
    reader = MemoryReader(top_k=None)
    for count in (1, 2):
        memory = stack_entries(entries[:count])
        assert_close(network.read(query, memory, reader)[0], expected[f"{prefix}readout_mem{count}"])
        masks_of_frame = network.segment(query, memory, reader).sigmoid()
        assert_close(soft_aggregate(masks_of_frame), expected[f"{prefix}logits_mem{count}"][:, :3])
        probability = f"{prefix}prob_mem{count}"
        if probability in expected:
            assert_close(masks_of_frame[0], expected[probability])


@torch.no_grad()
def test_features_reads_and_logits(backbone):
    expected = fixture(f"stm_cycle_{backbone}")
    extra = fixture(f"stm_cycle_{backbone}_extra")
    check_network(build(backbone), expected, {**expected, **{k: extra[k] for k in ("prob_mem1", "prob_mem2")}})


@torch.no_grad()
def test_peaked_attention(backbone):
    extra = fixture(f"stm_cycle_{backbone}_extra")
    check_network(build(backbone, SHARP), fixture(f"stm_cycle_{backbone}"), extra, "sharp_")


@torch.no_grad()
def test_a_size_that_is_no_multiple_of_anything(backbone):
    frames, masks = frames_and_masks(fixture(f"stm_cycle_{backbone}"))
    network = build(backbone)
    frames, masks = frames[..., :61, :93], masks[..., :61, :93]
    entry = network.encode_memory(frames[:1], masks[:1])
    query = network.encode_query(frames[2:3], masks[:1, :1])
    logits = network.segment(query, stack_entries([entry]), MemoryReader(top_k=None))
    reference = fixture(f"stm_cycle_{backbone}_extra")["oddsize_logits_mem1"]
    assert_close(soft_aggregate(logits.sigmoid()), reference[:, :3])


def training_batch(expected, gone=None):
    frames, masks = torch.from_numpy(expected["frames"])[None], torch.from_numpy(expected["onehot"])[None, :, 1:3]
    labels = torch.from_numpy(expected["labels"]).long()[None]
    if gone is not None:
        masks, labels = masks.clone(), labels.clone()
        masks[0, 2, gone - 1] = 0
        labels[0, 2][labels[0, 2] == gone] = 0
    return {"frames": frames, "masks": masks, "labels": labels, "selector": torch.ones(1, 2)}


def train_forward(network, batch, **objective):
    output = ClipForward(network, cycle=True)(batch["frames"], batch["masks"][:, 0], batch["selector"])
    return output, Objective(segmentation="both", **objective).losses(output, batch, 0)


def test_a_training_step(backbone):
    expected = fixture(f"stm_cycle_{backbone}")
    network = build(backbone)
    output, losses = train_forward(network, training_batch(expected), published_gate=True)
    assert_close(output.logits[0, 0].detach(), expected["train_logits_t1"][0, :3])
    assert_close(output.logits[0, 1].detach(), expected["train_logits_t2"][0, :3])
    assert_close(output.cycle[0, 1].detach(), expected["train_logits_cycle_from2"][0, :3])
    terms = expected["train_loss_terms"].sum(1)
    assert_close(
        [losses["segmentation_loss"].item(), losses["cycle_loss"].item()], [terms[:2].sum() / 2, terms[2:].sum() / 2]
    )
    assert losses["total_loss"].item() == pytest.approx(float(expected["train_total_loss"][0]), abs=ROUNDING)
    (losses["total_loss"] / 4).backward()
    gradients = to_published("stm_cycle", {k: v.grad for k, v in network.named_parameters()})
    norms = [gradients[entry["key"]].norm().item() for entry in entries_of(backbone) if entry["kind"] == "parameter"]
    np.testing.assert_allclose(norms, expected["train_grad_norms"], atol=1e-5, rtol=1e-3)
    assert_close(gradients["Encoder_M.conv1_m.weight"], expected["train_grad_Encoder_M.conv1_m.weight"])


@pytest.mark.parametrize("gone", [1, 2])
@torch.no_grad()
def test_a_training_step_in_which_an_object_disappears(backbone, gone):
    expected = fixture(f"stm_cycle_{backbone}")
    batch = training_batch(expected, gone)
    _, losses = train_forward(build(backbone), batch, published_gate=True)
    assert losses["total_loss"].item() == pytest.approx(
        float(expected[f"train_obj{gone}gone_frame2_total_loss"][0]), abs=ROUNDING
    )


@pytest.mark.parametrize("form", ["noref", "ref"])
@pytest.mark.parametrize("name", ["ce", "iou"])
def test_losses_and_their_gradients(name, form):
    """Published gradients are with respect to probabilities; ours come through the softmax."""
    expected = {key: torch.from_numpy(value) for key, value in fixture("stm_cycle_losses").items()}
    target, probability = expected["target"][:, :4], expected["pred"]
    void = 4
    labels = target.argmax(1).where(target.sum(1) > 0, void)
    valid = torch.ones(2, 5)
    valid[:, void] = 0
    if form == "ref":
        valid[:, :4] = (expected["ref"].flatten(2).amax(2) > 0).float()
    logits = probability.log().requires_grad_()
    losses = (
        bootstrapped_cross_entropy(logits, labels, HARD_SHARE, valid)
        if name == "ce"
        else soft_iou_loss(logits, labels, valid)
    )
    losses.mean().backward()
    assert_close(losses.mean().detach(), expected[f"{name}_{form}"][0])
    gradient = expected[f"{name}_grad_{form}"]
    through_softmax = probability * (gradient - (probability * gradient).sum(1, keepdim=True))
    assert_close(logits.grad, through_softmax)


def test_a_training_step_with_peaked_attention(backbone):
    expected = fixture(f"stm_cycle_{backbone}_extra")
    network = build(backbone, SHARP)
    _, losses = train_forward(network, training_batch(fixture(f"stm_cycle_{backbone}")), published_gate=True)
    terms = expected["sharp_train_loss_terms"].sum(1)
    assert_close(losses["segmentation_loss"].item(), terms[:2].sum() / 2)
    assert_close(losses["cycle_loss"].item(), terms[2:].sum() / 2)
    (losses["total_loss"] / 4).backward()
    gradients = to_published("stm_cycle", {k: v.grad for k, v in network.named_parameters()})
    norms = [gradients[entry["key"]].norm().item() for entry in entries_of(backbone) if entry["kind"] == "parameter"]
    np.testing.assert_allclose(norms, expected["sharp_train_grad_norms"], atol=1e-5, rtol=1e-3)
