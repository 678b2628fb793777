"""Training objectives: what counts, and what must not."""

import pytest
import torch
import torch.nn.functional as F

from model.losses import (
    bootstrap_share,
    bootstrapped_cross_entropy,
    divergence,
    intersection_and_union,
    mask_iou,
    normalised_focal_loss,
    quality_loss,
    squared_error,
)
from training.trainer import ClipOutput, Objective

SIZE = 16


def logits_and_labels(objects=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, objects + 1, SIZE, SIZE, generator=generator)
    return logits, torch.randint(objects + 1, (2, SIZE, SIZE), generator=generator)


# Cross-entropy


def test_the_share_of_pixels_only_falls():
    shares = [bootstrap_share(iteration) for iteration in range(0, 100_000, 250)]
    assert shares == sorted(shares, reverse=True)
    assert bootstrap_share(0) == bootstrap_share(20_000) == 1
    assert bootstrap_share(45_000) == pytest.approx(0.575)
    assert bootstrap_share(70_000) == bootstrap_share(10**7) == 0.15


def test_the_whole_share_is_plain_cross_entropy():
    logits, labels = logits_and_labels()
    expected = F.cross_entropy(logits, labels, reduction="none").mean((1, 2))
    torch.testing.assert_close(bootstrapped_cross_entropy(logits, labels, 1.0), expected)


@pytest.mark.parametrize("share", [0.15, 0.5, 0.99])
def test_a_share_is_the_mean_of_the_hardest_pixels_of_each_sample(share):
    logits, labels = logits_and_labels()
    pixels = F.cross_entropy(logits, labels, reduction="none").flatten(1).sort(dim=1, descending=True).values
    expected = pixels[:, : int(share * SIZE * SIZE)].mean(1)
    torch.testing.assert_close(bootstrapped_cross_entropy(logits, labels, share), expected)


def test_a_smaller_share_gives_a_larger_loss():
    logits, labels = logits_and_labels()
    losses = torch.stack([bootstrapped_cross_entropy(logits, labels, share) for share in (1.0, 0.7, 0.4, 0.15)])
    assert (losses.diff(dim=0) > 0).all()


def test_easy_pixels_get_no_gradient():
    logits, labels = logits_and_labels()
    logits.requires_grad_()
    bootstrapped_cross_entropy(logits, labels, 0.25).sum().backward()
    touched = logits.grad.abs().sum(1).flatten(1) > 0
    assert touched.sum(1).tolist() == [SIZE * SIZE // 4] * 2


@pytest.mark.parametrize("share", [1.0, 0.15])
def test_rows_of_absent_objects_change_neither_loss_nor_gradient(share):
    logits, labels = logits_and_labels(objects=1)
    padded = torch.cat([logits, torch.full((2, 1, SIZE, SIZE), -torch.inf)], 1)
    results = []
    for x in (logits, padded):
        x.requires_grad_()
        loss = bootstrapped_cross_entropy(x, labels, share)
        loss.sum().backward()
        results.append((loss.detach(), x.grad))
    (loss, gradient), (padded_loss, padded_gradient) = results
    torch.testing.assert_close(padded_loss, loss)
    torch.testing.assert_close(padded_gradient[:, :2], gradient)
    assert not padded_gradient[:, 2].any()


# Overlap


def test_overlap_is_counted_in_pixels():
    prediction, truth = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    prediction[0, 0, :4] = 0.6
    prediction[0, 1] = 0.5
    truth[0, 0, 2:6] = 1
    truth[0, 1, :1] = 1
    intersection, union = intersection_and_union(prediction, truth)
    assert intersection.tolist() == [[16, 0, 0], [0, 0, 0]]
    assert union.tolist() == [[48, 8, 0], [0, 0, 0]]
    torch.testing.assert_close(mask_iou(prediction, truth), torch.tensor([[1 / 3, 0, 0], [0, 0, 0]]))


def test_a_perfect_mask_has_iou_one():
    truth = (torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    assert (mask_iou(truth, truth) == 1).all()


# Quality


def squared(scores, ious, selector, target):
    return quality_loss(scores, ious, selector, target=target, error=squared_error)


def test_each_object_has_its_own_target():
    scores, ious = torch.tensor([[0.5, 0.9], [0.1, 0.7]]), torch.tensor([[0.9, 0.5], [0.4, 0.7]])
    torch.testing.assert_close(squared(scores, ious, torch.ones(2, 2), "object"), torch.tensor([0.16, 0.045]))


@pytest.mark.parametrize("error", [squared_error, divergence])
def test_absent_objects_have_no_part_in_the_object_target(error):
    selector = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    ious = torch.tensor([[0.8, 0.0], [0.8, 0.3]])
    scores = torch.tensor([[0.6, 0.9], [0.6, 0.9]], requires_grad=True)
    loss = quality_loss(scores, ious, selector, target="object", error=error)
    first, second = error(scores[0, 0], ious[0, 0]), error(scores[1, 1], ious[1, 1])
    torch.testing.assert_close(loss, torch.stack([first, (first + second) / 2]))
    loss.sum().backward()
    assert scores.grad[0, 1] == 0
    assert scores.grad[1, 1] != 0


def test_the_published_target_compares_means_over_all_rows():
    scores, ious = torch.tensor([[0.6, 0.2], [0.5, 0.9]]), torch.tensor([[0.8, 0.0], [0.9, 0.5]])
    for selector in (torch.ones(2, 2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])):
        torch.testing.assert_close(squared(scores, ious, selector, "both"), torch.zeros(2))
        further = squared(scores + 0.1, ious, selector, "both")
        torch.testing.assert_close(further, torch.full((2,), 0.01), atol=1e-6, rtol=0)


def test_targets_agree_on_a_single_object():
    generator = torch.Generator().manual_seed(0)
    scores, ious = torch.rand(5, 1, generator=generator), torch.rand(5, 1, generator=generator)
    selector = torch.ones(5, 1)
    torch.testing.assert_close(squared(scores, ious, selector, "object"), squared(scores, ious, selector, "both"))


def test_a_sample_without_any_object_gives_no_quality_loss():
    scores = torch.rand(1, 2, requires_grad=True)
    loss = squared(scores, torch.zeros(1, 2), torch.zeros(1, 2), "object")
    loss.sum().backward()
    assert loss.item() == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("error", [squared_error, divergence])
@pytest.mark.parametrize("iou", [0.0, 0.3, 1.0])
def test_the_error_is_least_where_the_score_is_the_iou(error, iou):
    scores = torch.linspace(0.001, 0.999, 999)
    errors = error(scores, torch.full_like(scores, iou))
    assert (errors >= 0).all()
    assert scores[errors.argmin()].item() == pytest.approx(iou, abs=2e-3)
    assert errors.min() < 2e-3


@pytest.mark.parametrize("iou", [0.0, 0.3, 1.0])
def test_divergence_has_a_gradient_however_wrong_and_sure_the_score_is(iou):
    evidence = torch.linspace(-12, 12, 9, dtype=torch.float64, requires_grad=True)
    scores = evidence.sigmoid()
    divergence(scores, torch.full_like(scores, iou)).sum().backward()
    torch.testing.assert_close(evidence.grad, scores.detach() - iou)


# A whole clip


def clip_output(objects=2, frames=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, frames, objects + 1, SIZE, SIZE, generator=generator).requires_grad_()
    quality = torch.rand(2, frames, objects, generator=generator).requires_grad_()
    return ClipOutput(logits, logits.softmax(2)[:, :, 1:], quality, None)


def clip_batch(selector, frames=3):
    masks = torch.zeros(2, frames, 2, SIZE, SIZE)
    masks[:, :, 0, :5] = 1
    masks[:, :, 1, 8:] = 1
    masks = masks * selector[:, None, :, None, None]
    labels = (masks * torch.tensor([1.0, 2.0])[:, None, None]).sum(2).long()
    return {"masks": masks, "labels": labels, "selector": selector}


@pytest.mark.parametrize("iteration", [0, 45_000, 100_000])
@pytest.mark.parametrize("target", ["object", "both"])
@pytest.mark.parametrize("error", [squared_error, divergence])
def test_losses_and_gradients_are_finite_with_absent_objects(iteration, target, error):
    output = clip_output()
    batch = clip_batch(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    losses = Objective(quality_target=target, quality_error=error).losses(output, batch, iteration)
    losses["total_loss"].backward()
    assert all(loss.isfinite().all() for loss in losses.values())
    assert output.logits.grad.isfinite().all()
    assert output.quality.grad.isfinite().all()
    assert not output.logits.grad[0, :, 2].any()
    assert output.logits.grad[1, :, 2].any()


def test_the_total_is_the_sum_of_its_parts():
    output = clip_output()
    losses = Objective().losses(output, clip_batch(torch.ones(2, 2)), 30_000)
    torch.testing.assert_close(losses["total_loss"], losses["loss_1"] + losses["loss_2"])
    torch.testing.assert_close(losses["total_loss"], losses["segmentation_loss"] + losses["quality_loss"])
    assert losses["p"].item() == pytest.approx(bootstrap_share(30_000))
    assert losses["intersection"].shape == losses["union"].shape == (2,)


def test_a_perfect_prediction_has_almost_no_loss():
    batch = clip_batch(torch.ones(2, 2))
    logits = 20 * F.one_hot(batch["labels"][:, 1:], 3).movedim(-1, 2).float()
    output = ClipOutput(logits, batch["masks"][:, 1:], torch.ones(2, 2, 2), None)
    assert Objective().losses(output, batch, 0)["total_loss"] < 1e-6


def test_the_true_iou_is_a_target_and_not_a_way_to_the_masks():
    output = clip_output()
    Objective().losses(output, clip_batch(torch.ones(2, 2)), 0)["quality_loss"].backward()
    assert output.logits.grad is None
    assert output.quality.grad.any()


# Normalised focal loss


def test_without_focus_it_is_plain_cross_entropy():
    logits, truth = torch.randn(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) > 0.5).float()
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
    torch.testing.assert_close(normalised_focal_loss(logits, truth, gamma=0.0), plain)


def test_it_is_the_published_formula():
    logits, truth = torch.randn(2, 1, 8, 8).double(), (torch.rand(2, 1, 8, 8) > 0.5).double()
    right = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid()).flatten(1)
    weight = (1 - right) ** 2
    expected = -(weight * right.log()).sum(1) / weight.sum(1)
    torch.testing.assert_close(normalised_focal_loss(logits, truth), expected)


def test_it_stays_finite_and_does_not_fade_when_all_is_right():
    truth = torch.cat([torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)], 3)
    logits = (200 * (2 * truth - 1)).requires_grad_()
    normalised_focal_loss(logits, truth).sum().backward()
    assert logits.grad.isfinite().all()
    confident, sure = (normalised_focal_loss(scale * (2 * truth - 1), truth).item() for scale in (2.0, 4.0))
    one_pixel = 4 * (2 * truth - 1)
    one_pixel[0, 0, 0, 0] = -4
    assert sure < confident < normalised_focal_loss(one_pixel, truth).item()
