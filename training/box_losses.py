"""Losses of a box tracker (OSTrack, ECCV 2022; DropTrack in DropMAE, CVPR 2023): overlap, corners, centre.

Boxes are corners x0, y0, x1, y1 in shares of the search region unless said otherwise.
"""

import torch
from torch import Tensor

OVERLAP = 0.7  # that a box moved by the radius of its Gaussian still has, as CornerNet (ECCV 2018) meant it


def corners_of_centres(boxes: Tensor) -> Tensor:
    """Centre x, y, width, height (...,4) -> corners (...,4)."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def corners_of_boxes(boxes: Tensor) -> Tensor:
    """x, y, width, height (...,4) -> corners (...,4)."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


def overlap(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al., CVPR 2019) of pairs of boxes, (B,4) twice -> (B,) twice.

    Both are 0 where hull or union has no area.
    """
    low, high = torch.maximum(found[:, :2], truth[:, :2]), torch.minimum(found[:, 2:], truth[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    union = (found[:, 2:] - found[:, :2]).prod(1) + (truth[:, 2:] - truth[:, :2]).prod(1) - shared
    hull = (torch.maximum(found[:, 2:], truth[:, 2:]) - torch.minimum(found[:, :2], truth[:, :2])).prod(1)
    iou = shared / union.where(union > 0, 1)
    return iou, iou - (hull - union) / hull.where(hull > 0, 1)


def gaussian_radius(sides: Tensor) -> Tensor:
    """How far from the centre of a box the score may be above 0: width and height (...,2) -> (...), in their unit.

    The three roots are CornerNet's as published there, two of which are not those of the equations that are meant.
    """
    total, area = sides.sum(-1), sides.prod(-1)
    roots = (
        (total + (total**2 - 4 * area * (1 - OVERLAP) / (1 + OVERLAP)).sqrt()) / 2,
        (2 * total + (4 * total**2 - 16 * (1 - OVERLAP) * area).sqrt()) / 2,
        (-2 * OVERLAP * total + (4 * OVERLAP**2 * total**2 + 16 * OVERLAP * (1 - OVERLAP) * area).sqrt()) / 2,
    )
    return torch.stack(roots).amin(0)


def centre_targets(boxes: Tensor, side: int) -> Tensor:
    """What the score should be: for each box a Gaussian around the cell of its centre, which alone is 1.

    Args:
        boxes: x, y, width, height (B,4) in shares of the search region.
        side: cells of the score in a row and in a column.

    Returns:
        (B,1,side,side) in 0..1; without a 1 for a box whose centre lies outside.
    """
    cells = boxes.detach().float() * side
    centres = (cells[:, :2] + cells[:, 2:] / 2).round()
    radius = gaussian_radius(cells[:, 2:]).clamp(min=0).floor()[:, None, None]
    away = torch.arange(side, device=boxes.device) - centres[:, :, None]  # (B,2,side): columns, rows
    lines = torch.exp(-(away**2) / (2 * ((2 * radius + 1) / 6) ** 2)).where(away.abs() <= radius, 0)
    return (lines[:, 1, :, None] * lines[:, 0, None, :]).unsqueeze(1)


def focal_loss(score: Tensor, target: Tensor) -> Tensor:
    """The loss of a map of centres (CenterNet, Zhou et al., 2019), over the whole batch.

    Args:
        score: (B,1,h,w) in (0, 1).
        target: of the same shape, 1 at centres; the nearer to 1, the less a high score costs.

    Returns:
        The sum over all cells by the number of centres; undivided where there is none.
    """
    centre = target == 1
    hit = torch.log(score) * (1 - score) ** 2
    miss = torch.log1p(-score) * score**2 * (1 - target) ** 4
    return -hit.where(centre, miss).sum() / centre.sum().clamp(min=1)


def tracking_losses(
    score: Tensor, found: Tensor, truth: Tensor, *, giou_weight: float = 2.0, l1_weight: float = 5.0
) -> dict[str, Tensor]:
    """The losses of a batch.

    Args:
        score: (B,1,h,h) in (0, 1).
        found: centre x, y, width, height (B,4), see `Maps.boxes`.
        truth: x, y, width, height (B,4); what lies outside of the search region counts for the centre alone.
        giou_weight, l1_weight: of the losses of overlap and of corners in the total.

    Returns:
        `total_loss`, its parts `giou_loss`, `l1_loss` and `centre_loss`, and `iou`.
    """
    corners, wanted = corners_of_centres(found), corners_of_boxes(truth).clamp(0, 1)
    iou, giou = overlap(corners, wanted)
    losses = {
        "giou_loss": (1 - giou).mean(),
        "l1_loss": (corners - wanted).abs().mean(),
        "centre_loss": focal_loss(score, centre_targets(truth, score.shape[-1])),
    }
    total = giou_weight * losses["giou_loss"] + l1_weight * losses["l1_loss"] + losses["centre_loss"]
    return {"total_loss": total, **losses, "iou": iou.mean()}
