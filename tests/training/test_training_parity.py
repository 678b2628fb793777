"""Losses and a whole training iteration equal those of the published code."""

import numpy as np
import pytest
import torch

from model.losses import bootstrap_share, bootstrapped_cross_entropy, mask_iou
from model.qdmn import QDMN
from model.weights.published import to_published
from tests.helpers.deterministic import clip_tensors, fill, fixture
from training.trainer import Trainer
from util.device import keep_freed_memory

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def kept_memory():
    """As in training; a third of the time of these iterations would go into clearing pages."""
    keep_freed_memory(torch.device("cpu"))


def test_bootstrapped_cross_entropy_equals_the_published_one():
    arrays = fixture("qdmn_losses")
    logits, labels = torch.from_numpy(arrays["ce_logits"]), torch.from_numpy(arrays["ce_target"]).long()
    for iteration, loss, share in zip(arrays["ce_it"], arrays["ce_loss"], arrays["ce_p"], strict=True):
        assert bootstrap_share(int(iteration)) == pytest.approx(share, abs=1e-6)
        ours = bootstrapped_cross_entropy(logits, labels, bootstrap_share(int(iteration)))
        assert ours.item() == pytest.approx(loss, rel=2e-5)


def test_iou_equals_the_published_one_for_empty_and_soft_truths():
    arrays = {k: torch.from_numpy(v) for k, v in fixture("qdmn_losses").items() if k.startswith("iou")}
    torch.testing.assert_close(mask_iou(arrays["iou_pred"], arrays["iou_gt"]), arrays["iou"])


def published_batch(objects):
    """Two clips; in the two-object form the second clip has one object only."""
    clips = [clip_tensors(3, 384, 384), clip_tensors(3, 384, 384, phase=0.5)]
    masks = torch.stack([masks[:, :objects] for _, masks in clips])
    selector = torch.ones(2, objects)
    if objects == 2:
        masks[1, :, 1] = 0
        selector[1, 1] = 0
    labels = torch.zeros(masks.shape[0], 3, 384, 384, dtype=torch.int64)
    for k in range(objects):
        labels[masks[:, :, k] > 0.5] = k + 1
    return {"frames": torch.stack([rgb for rgb, _ in clips]), "masks": masks, "labels": labels, "selector": selector}


@pytest.mark.parametrize(("form", "iteration"), [("so", 101), ("so", 45001), ("mo", 101), ("mo", 45001)])
def test_training_iteration_equals_the_published_one(form, iteration):
    arrays = fixture("qdmn_losses")
    expected = {k.split("_", 2)[2]: v for k, v in arrays.items() if k.startswith(f"{form}_it{iteration}_")}
    network = fill(QDMN(multi_object=form == "mo", score_activation="relu"))
    trainer = Trainer(network, torch.device("cpu"), quality_target="both")
    trainer.iteration = iteration
    batch = published_batch(1 if form == "so" else 2)
    before = {k: v.clone() for k, v in to_published("qdmn", dict(network.named_parameters())).items()}
    losses, output, _ = trainer.step([batch])

    for name in ("loss_1", "loss_2", "total_loss", "p"):
        assert losses[name].item() == pytest.approx(float(expected[name]), rel=2e-5)
    for k, infix in enumerate(("", "sec_")[: len(losses["union"])]):
        assert losses["intersection"][k].item() == pytest.approx(float(expected[f"hide_iou_{infix}i"]), abs=10)
        assert losses["union"][k].item() == pytest.approx(float(expected[f"hide_iou_{infix}u"]), abs=10)
    np.testing.assert_allclose(output.quality.mean(2).T, expected["mask_score"], atol=1e-4)
    ious = mask_iou(output.masks, batch["masks"][:, 1:])
    np.testing.assert_allclose(ious.mean(2).T, expected["gt_score"], atol=1e-4)

    parameters = to_published("qdmn", dict(network.named_parameters()))
    names = arrays["grad_names"].tolist()
    gradients = np.array([parameters[n].grad.norm().item() for n in names])
    # The gradient of the last bias is a sum over all pixels that cancels to 1e-3 of its terms: rounding moves it.
    # The others move by up to 1.2 % with the number of threads.
    limits = np.where(np.array(names) == "decoder.pred.bias", 0.03, 0.03 * expected["grad_norm"])
    assert (np.abs(gradients - expected["grad_norm"]) <= limits).all()
    updates = [(parameters[n] - before[n]).abs().mean().item() for n in names]
    np.testing.assert_allclose(updates, expected["adam_delta_absmean"], rtol=0.03)
    with torch.no_grad():
        after = trainer.clip(batch["frames"], batch["masks"][:, 0], batch["selector"])
        trainer.iteration = iteration
        total = trainer.losses(after, batch)["total_loss"]
    assert total.item() == pytest.approx(
        float(expected["total_loss_after_step"]), rel=0.02
    )  # Adam's first step follows signs: threads alone move it by 1.5 %
