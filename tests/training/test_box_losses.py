"""Losses of a box tracker, against published numbers and identities."""

import json

import pytest
import torch

from tests.helpers.deterministic import fixture
from training.box_losses import (
    centre_targets,
    corners_of_boxes,
    corners_of_centres,
    focal_loss,
    gaussian_radius,
    overlap,
    tracking_losses,
)

ARRAYS = {
    name: torch.from_numpy(value) for name, value in fixture("droptrack_losses").items() if value.dtype.kind != "U"
}
STATUS = json.loads(str(fixture("droptrack_losses")["status_json"]))
BOXES, SCORE, FOUND = ARRAYS["heat_boxes"], ARRAYS["score"], ARRAYS["pred_cxcywh"][:, 0]


@pytest.mark.parametrize("size", [384, 256])
def test_targets_of_centres_are_the_published_ones(size):
    expected = ARRAYS[f"heat_{size}"]
    made = centre_targets(BOXES, size // 16)[:, 0]
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)
    assert torch.equal(made == 1, expected == 1)


def test_radii_are_the_published_ones():
    made = gaussian_radius(ARRAYS["radius_wh"])
    torch.testing.assert_close(made, ARRAYS["radius"], rtol=1e-5, atol=1e-5)
    assert torch.equal(made.clamp(min=0).int(), ARRAYS["radius_int"])


def test_losses_of_a_batch_are_the_published_ones():
    losses = tracking_losses(SCORE, FOUND, BOXES)
    names = {
        "total_loss": "Loss/total",
        "giou_loss": "Loss/giou",
        "l1_loss": "Loss/l1",
        "centre_loss": "Loss/location",
        "iou": "IoU",
    }
    for ours, published in names.items():
        assert losses[ours].item() == pytest.approx(STATUS[published], rel=1e-6)


def test_overlap_and_focal_loss_of_each_sample_are_the_published_ones():
    iou, giou = overlap(corners_of_centres(FOUND), corners_of_boxes(BOXES).clamp(0, 1))
    torch.testing.assert_close(iou, ARRAYS["iou_each"])
    torch.testing.assert_close(giou, ARRAYS["giou_each"])
    targets = centre_targets(BOXES, 24)
    each = torch.stack([focal_loss(SCORE[i : i + 1], targets[i : i + 1]) for i in range(len(BOXES))]).double()
    torch.testing.assert_close(each, ARRAYS["focal_each"], rtol=1e-6, atol=0)
    none = focal_loss(SCORE[:2], targets[:2] * 0.99).double()
    torch.testing.assert_close(none, ARRAYS["focal_no_positive"], rtol=1e-6, atol=0)


def test_equal_boxes_overlap_wholly_and_distant_ones_are_drawn_together():
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.6], [0.0, 0.0, 1.0, 1.0]])
    iou, giou = overlap(boxes, boxes)
    assert iou.tolist() == pytest.approx([1, 1]) and giou.tolist() == pytest.approx([1, 1])
    far = boxes[:1] + 2
    far.requires_grad_()
    (1 - overlap(far, boxes[:1])[1]).sum().backward()
    assert (far.grad.sum(1) > 0).all()  # a step against the gradient leads back


def test_boxes_without_area_have_finite_losses():
    nothing = torch.zeros(1, 4, requires_grad=True)
    losses = tracking_losses(torch.full((1, 1, 8, 8), 0.5), nothing, torch.zeros(1, 4))
    losses["total_loss"].backward()
    assert losses["total_loss"].isfinite() and nothing.grad.isfinite().all()


def test_what_lies_outside_of_the_search_region_counts_for_the_centre_alone():
    inside, beyond = torch.tensor([[0.6, 0.2, 0.4, 0.4]]), torch.tensor([[0.6, 0.2, 0.6, 0.4]])
    found, score = torch.tensor([[0.8, 0.4, 0.4, 0.4]]), torch.full((1, 1, 16, 16), 0.3)
    first, second = tracking_losses(score, found, inside), tracking_losses(score, found, beyond)
    assert first["l1_loss"].item() == pytest.approx(second["l1_loss"].item(), abs=1e-6)
    assert first["iou"].item() == pytest.approx(1, abs=1e-5) and second["iou"].item() == pytest.approx(1, abs=1e-5)
    assert first["centre_loss"] != second["centre_loss"]
