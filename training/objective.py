"""What a clip is trained for: segmentation, quality, and the cycle."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.losses import (
    HARD_SHARE,
    Error,
    bootstrap_share,
    bootstrapped_cross_entropy,
    intersection_and_union,
    overlap_ratio,
    quality_loss,
    soft_iou_loss,
    squared_error,
    visible_labels,
)
from training.clip_forward import ClipOutput

Batch = dict[str, Any]
LOSSES = ("bootstrapped", "ce", "iou", "both")


@dataclass(frozen=True)
class Objective:
    """Losses of clips.

    Attributes:
        segmentation: `bootstrapped`, cross-entropy over a share of pixels that falls during the training (QDMN), summed
            over frames; or as in STM-Cycle `ce`, over the hardest 40 %, `iou`, of soft masks, or `both`, a mean over
            frames in which objects that the first frame does not show do not count.
        quality_target, quality_error: see `quality_loss`.
        published_gate: use a cycle only if the clip's last object is visible in the frame that it comes back from, as
            the published STM-Cycle does, instead of if any object is.
    """

    segmentation: str = "bootstrapped"
    quality_target: str = "object"
    quality_error: Error = squared_error
    published_gate: bool = False

    def losses(self, output: ClipOutput, batch: Batch, iteration: int) -> dict[str, Tensor]:
        """Losses of a clip, averaged over samples.

        Returns:
            `total_loss`; `loss_1` ... of each frame (segmentation + quality, 1:1); `segmentation_loss`; for networks
            with a scorer `quality_loss` and `quality_gap`, the mean distance of score and IoU; `cycle_loss`; `p`, the
            share of pixels that count; and `intersection` and `union` of each object in pixels.
        """
        truth, selector = batch["masks"][:, 1:], batch["selector"]
        intersection, union = intersection_and_union(output.masks.detach(), truth)
        segmentation = self._segmentation(output, batch, iteration)
        losses, parts = segmentation, {}
        if output.quality is not None:
            quality, parts = self._quality(output, overlap_ratio(intersection, union), selector)
            losses = [s + q for s, q in zip(segmentation, quality, strict=True)]
        total = torch.stack(losses).sum()
        if output.cycle is not None:
            parts["cycle_loss"] = self._cycle(output, batch, iteration)
            total = total + parts["cycle_loss"]
        return {
            "total_loss": total,
            **{f"loss_{t}": loss for t, loss in enumerate(losses, 1)},
            "segmentation_loss": torch.stack(segmentation).sum(),
            **parts,
            "p": torch.tensor(self._share(iteration)),
            "intersection": intersection.sum((0, 1)),
            "union": union.sum((0, 1)),
        }

    def _share(self, iteration: int) -> float:
        return bootstrap_share(iteration) if self.segmentation == "bootstrapped" else HARD_SHARE

    def _segmentation(self, output: ClipOutput, batch: Batch, iteration: int) -> list[Tensor]:
        """Loss of each frame behind the first."""
        labels = batch["labels"]
        frames = output.logits.shape[1]
        first = visible_labels(labels[:, 0], output.logits.shape[2])
        valid, scale = (None, 1) if self.segmentation == "bootstrapped" else (first, frames)
        return [
            self._frame(output.logits[:, t], labels[:, t + 1], valid, batch["selector"], iteration).mean() / scale
            for t in range(frames)
        ]

    def _frame(self, logits: Tensor, labels: Tensor, valid: Tensor | None, selector: Tensor, iteration: int) -> Tensor:
        """Loss of one frame for each sample, (B,)."""
        absent = torch.cat([torch.zeros_like(selector[:, :1]), 1 - selector], 1).bool()[..., None, None]
        logits = logits.masked_fill(absent, -torch.inf)
        loss = torch.zeros(len(logits), device=logits.device)
        if self.segmentation != "iou":
            loss = loss + bootstrapped_cross_entropy(logits, labels, self._share(iteration), valid)
        if self.segmentation in ("iou", "both"):
            loss = loss + soft_iou_loss(logits, labels, valid)
        return loss

    def _cycle(self, output: ClipOutput, batch: Batch, iteration: int) -> Tensor:
        """Loss of the first frame as every later one remembers it; objects that it does not show are left out."""
        labels, selector = batch["labels"], batch["selector"]
        frames = output.cycle.shape[1]
        total = torch.zeros((), device=labels.device)
        for t in range(frames):
            valid = visible_labels(labels[:, t + 1], output.cycle.shape[2])
            shown = valid[:, 1:] * selector
            last = selector.sum(1).long().clamp(min=1) - 1
            gate = shown.gather(1, last[:, None])[:, 0] if self.published_gate else (shown.sum(1) > 0).float()
            loss = self._frame(output.cycle[:, t], labels[:, 0], valid, selector, iteration)
            total = total + (gate * loss).mean()
        return total if self.segmentation == "bootstrapped" else total / frames

    def _quality(self, output: ClipOutput, ious: Tensor, selector: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Quality loss of each frame, and what is reported of it."""
        scores = output.quality.float()
        losses = [
            quality_loss(
                scores[:, t], ious[:, t], selector, target=self.quality_target, error=self.quality_error
            ).mean()
            for t in range(scores.shape[1])
        ]
        gap = (scores.detach() - ious).abs() * selector.unsqueeze(1)
        mean_gap = gap.sum() / (selector.sum() * scores.shape[1]).clamp(min=1)
        return losses, {"quality_loss": torch.stack(losses).sum(), "quality_gap": mean_gap}
