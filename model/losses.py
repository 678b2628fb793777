"""Training losses: bootstrapped cross-entropy and quality regression (QDMN, ECCV 2022), soft IoU (NeurIPS 2020).

And, for interactive segmentation, the normalised focal loss (RITM, ICIP 2022).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Error = Callable[[Tensor, Tensor], Tensor]

HARD_SHARE = 0.4  # of the pixels, which STM-Cycle averages its cross-entropy over
BOOTSTRAP_START, BOOTSTRAP_END, BOOTSTRAP_SHARE = 20_000, 70_000, 0.15


def bootstrap_share(iteration: int) -> float:
    """Share of the pixels that the cross-entropy is averaged over: 1, then linearly down to 0.15."""
    if iteration < BOOTSTRAP_START:
        return 1.0
    left = (BOOTSTRAP_END - iteration) / (BOOTSTRAP_END - BOOTSTRAP_START)
    return BOOTSTRAP_SHARE + (1 - BOOTSTRAP_SHARE) * max(left, 0.0)


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, share: float, valid: Tensor | None = None) -> Tensor:
    """Cross-entropy over the hardest pixels of each sample.

    Args:
        logits: (B,K+1,H,W); rows of absent objects are -inf.
        labels: (B,H,W), int64, in 0..K.
        share: share of the pixels, in (0, 1].
        valid: (B,K+1), 1 for labels that count; the pixels of others have no loss.

    Returns:
        Loss of each sample (B,).
    """
    pixels = F.cross_entropy(logits, labels, reduction="none").flatten(1)
    if valid is not None:
        pixels = pixels.where(valid.gather(1, labels.flatten(1)) > 0, 0)
    if share < 1:
        pixels = pixels.topk(int(share * pixels.shape[1]), dim=1, sorted=False).values
    return pixels.mean(1)


def soft_iou_loss(logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """1 - IoU of soft masks, mean over the objects that count (STM-Cycle, NeurIPS 2020).

    Args:
        logits: (B,K+1,H,W); rows of absent objects are -inf.
        labels: (B,H,W), int64, in 0..K.
        valid: (B,K+1), 1 for labels that count; the background never does.

    Returns:
        Loss of each sample (B,), 0 where no object counts.
    """
    predicted = logits.softmax(1)[:, 1:].flatten(2)
    objects = torch.arange(1, logits.shape[1], device=labels.device)
    truth = (labels.flatten(1).unsqueeze(1) == objects[:, None]).to(predicted.dtype)
    intersection, union = torch.minimum(predicted, truth).sum(2), torch.maximum(predicted, truth).sum(2)
    counts = valid[:, 1:].to(predicted.dtype)
    losses = (1 - intersection / union.where(union > 0, 1)) * counts
    return losses.sum(1) / counts.sum(1).clamp(min=1)


def normalised_focal_loss(logits: Tensor, truth: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy of masks, weighted by (1 - p)^gamma, the weights of a mask scaled to a mean of 1 (RITM).

    p is the probability of what is true. The weights are normalised so that the loss does not fade as the mask becomes
    right; the factor that does it gets no gradient.

    Args:
        logits: (B,...).
        truth: of the same shape, 0 or 1.
        gamma: 2 in RITM.

    Returns:
        Loss of each mask (B,).
    """
    logits, truth = logits.flatten(1), truth.flatten(1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = (-torch.expm1(-entropy)) ** gamma
    scale = weight.detach().mean(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / scale * entropy).mean(1)


def visible_labels(labels: Tensor, classes: int) -> Tensor:
    """Which labels occur in each sample, (B,H,W) -> (B,classes), 1 or 0; other labels are ignored."""
    return torch.stack([(labels == k).flatten(1).any(1) for k in range(classes)], 1).float()


def intersection_and_union(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap of masks in pixels, (...,H,W) -> two (...).

    The prediction is cut at 0.5. A pixel counts as intersection only where the truth is exactly 1, so that soft
    truths, as in the published static-image training, give low values.
    """
    predicted = (prediction > 0.5).to(truth.dtype)
    intersection = ((predicted + truth) == 2).flatten(-2).sum(-1).to(truth.dtype)
    union = (predicted.flatten(-2).sum(-1) + truth.flatten(-2).sum(-1)) - intersection
    return intersection, union


def mask_iou(prediction: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union, (...,H,W) -> (...); 0 where the union is empty."""
    return overlap_ratio(*intersection_and_union(prediction, truth))


def overlap_ratio(intersection: Tensor, union: Tensor) -> Tensor:
    """Intersection over union of areas; 0 where the union is empty."""
    return intersection / union.where(union > 0, 1)


def squared_error(scores: Tensor, ious: Tensor) -> Tensor:
    """The published error of a quality score; its gradient fades where a sigmoid saturates."""
    return (scores - ious) ** 2


def divergence(scores: Tensor, ious: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the score in (0, 1) from the IoU in [0, 1], both taken as probabilities.

    0 where they agree. Its gradient with respect to the evidence behind a sigmoid is score - IoU.
    """
    surprise = -(ious * torch.log(scores) + (1 - ious) * torch.log1p(-scores))
    return surprise + torch.xlogy(ious, ious) + torch.xlogy(1 - ious, 1 - ious)


def quality_loss(scores: Tensor, ious: Tensor, selector: Tensor, *, target: str, error: Error) -> Tensor:
    """Error of the predicted quality, (B,K) -> (B,).

    Args:
        scores: predicted mask IoU.
        ious: true mask IoU.
        selector: 1 for a real object, 0 for an absent one.
        target: `object` regresses each real object's score to its own IoU; `both` is the published form, which
            compares the means over all rows, absent objects included.
        error: `squared_error` or `divergence`.
    """
    if target == "both":
        return error(scores.mean(1), ious.mean(1))
    return (selector * error(scores, ious)).sum(1) / selector.sum(1).clamp(min=1)
