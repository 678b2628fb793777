"""One training step on clips, as published for QDMN (ECCV 2022) and STM-Cycle (NeurIPS 2020).

A clip runs through the network as in inference, and back to its first frame where the cycle is wanted; its losses are
those of segmentation, quality and cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from model.layers.decoder import soft_aggregate
from model.losses import (
    HARD_SHARE,
    Error,
    bootstrap_share,
    bootstrapped_cross_entropy,
    divergence,
    intersection_and_union,
    overlap_ratio,
    quality_loss,
    soft_iou_loss,
    squared_error,
    visible_labels,
)
from model.memory.read import MemoryEntry, MemoryReader, stack_entries
from model.memory_network import MemoryNetwork
from training.base_trainer import FUSED, BaseTrainer
from util.device import autocast

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
LOSSES = ("bootstrapped", "ce", "iou", "both")

Batch = dict[str, Any]


class ClipOutput(NamedTuple):
    """Predictions of a clip.

    Attributes:
        logits, masks: of the frames behind the first, (B,T-1,K+1,H,W) and (B,T-1,K,H,W).
        quality: (B,T-1,K), or None where the network has no scorer.
        cycle: logits (B,T-1,K+1,H,W) of the first frame, read from the memory of each frame behind it alone; None
            without the cycle.
    """

    logits: Tensor
    masks: Tensor
    quality: Tensor | None
    cycle: Tensor | None

    def detached(self) -> "ClipOutput":
        """The same without the graph."""
        quality, cycle = (None if x is None else x.detach() for x in (self.quality, self.cycle))
        return ClipOutput(self.logits.detach(), self.masks.detach(), quality, cycle)


class ClipForward(nn.Module):
    """Runs a clip through a network as inference does: every predicted mask enters the memory.

    Gradients flow through predicted masks into later frames by the memory; the previous masks of a query are detached.

    Args:
        network: the network.
        cycle: reconstruct the first frame from every later one.
    """

    def __init__(self, network: MemoryNetwork, *, cycle: bool = False) -> None:
        super().__init__()
        self.network = network
        self.cycle = cycle
        self.reader = MemoryReader(top_k=None, similarity=network.similarity)

    def forward(self, frames: Tensor, first_masks: Tensor, selector: Tensor) -> ClipOutput:
        """Segment a clip.

        Args:
            frames: (B,T,3,H,W), normalised.
            first_masks: (B,K,H,W) in [0, 1], the annotation of the first frame.
            selector: (B,K), 1 for a real object, 0 for an absent one.
        """
        masks = [first_masks]
        entries = [self.network.encode_memory(frames[:, 0], first_masks)]
        logits = []
        needs_last = self.cycle or self.network.quality_scorer is not None
        for t in range(1, frames.shape[1]):
            query = self.network.encode_query(frames[:, t], _prior(masks[-1]))
            logits.append(self._logits(query, entries, selector, masks[-1]))
            masks.append(logits[-1].softmax(1)[:, 1:])
            if needs_last or t + 1 < frames.shape[1]:
                entries.append(self.network.encode_memory(frames[:, t], masks[-1], query))
        quality = None
        if self.network.quality_scorer is not None:
            quality = torch.stack([entry.quality for entry in entries[1:] if entry.quality is not None], 1)
        cycle = None
        if self.cycle:
            back = [
                self._logits(self.network.encode_query(frames[:, 0], _prior(mask)), [entry], selector, mask)
                for mask, entry in zip(masks[1:], entries[1:], strict=True)
            ]
            cycle = torch.stack(back, 1)
        return ClipOutput(torch.stack(logits, 1), torch.stack(masks[1:], 1), quality, cycle)

    def _logits(self, query: Any, entries: list[MemoryEntry], selector: Tensor, previous: Tensor) -> Tensor:
        """Aggregated logits (B,K+1,H,W) of a query, whose previous frame had the masks (B,K,H,W)."""
        logits = self.network.segment(query, stack_entries(entries), self.reader, previous.detach())
        return soft_aggregate(logits.float().sigmoid() * selector[..., None, None])


def _prior(masks: Tensor) -> Tensor:
    return masks.detach().amax(1, keepdim=True)


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
        losses = segmentation
        parts: dict[str, Tensor] = {}
        if output.quality is not None:
            quality, parts = self._quality(output.quality, overlap_ratio(intersection, union), selector)
            losses = [s + q for s, q in zip(segmentation, quality, strict=True)]
        total = torch.stack(losses).sum()
        if output.cycle is not None:
            parts["cycle_loss"] = self._cycle(output.cycle, batch, iteration)
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
        if self.segmentation in ("iou", "both") and valid is not None:
            loss = loss + soft_iou_loss(logits, labels, valid)
        return loss

    def _cycle(self, cycle: Tensor, batch: Batch, iteration: int) -> Tensor:
        """Loss of the first frame as every later one remembers it; objects that it does not show are left out."""
        labels, selector = batch["labels"], batch["selector"]
        frames = cycle.shape[1]
        total = torch.zeros((), device=labels.device)
        for t in range(frames):
            valid = visible_labels(labels[:, t + 1], cycle.shape[2])
            shown = valid[:, 1:] * selector
            last = selector.sum(1).long().clamp(min=1) - 1
            gate = shown.gather(1, last[:, None])[:, 0] if self.published_gate else (shown.sum(1) > 0).float()
            loss = self._frame(cycle[:, t], labels[:, 0], valid, selector, iteration)
            total = total + (gate * loss).mean()
        return total if self.segmentation == "bootstrapped" else total / frames

    def _quality(self, quality: Tensor, ious: Tensor, selector: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Quality loss of each frame, and what is reported of it."""
        scores = quality.float()
        losses = [
            quality_loss(
                scores[:, t], ious[:, t], selector, target=self.quality_target, error=self.quality_error
            ).mean()
            for t in range(scores.shape[1])
        ]
        gap = (scores.detach() - ious).abs() * selector.unsqueeze(1)
        mean_gap = gap.sum() / (selector.sum() * scores.shape[1]).clamp(min=1)
        return losses, {"quality_loss": torch.stack(losses).sum(), "quality_gap": mean_gap}


class Trainer(BaseTrainer):
    """Updates a network iteration by iteration, on clips.

    Args:
        network: already on its device; parameters that need no gradient keep their values.
        lr, steps, gamma: the rate, and the iterations at which it is multiplied by gamma.
        weight_decay: added to the gradient, L2.
        optimizer, momentum: `adam`, or `sgd` with this momentum.
        frozen_statistics: keep the batch-norm statistics, as published; for networks with a pretrained trunk.
        amp: one of `AUTOCAST`.
        cycle: also reconstruct the first frame from every later one, see `ClipForward`.
        loss, quality_target, published_gate: see `Objective`. A scorer that ends in a sigmoid learns by divergence, the
            published one by squares.
        distributed: average gradients over the processes of the default group.
        ema: decay of the moving average of the weights, see `BaseTrainer`.
        compile: let `torch.compile` fuse the clip forward.
    """

    network: MemoryNetwork

    def __init__(
        self,
        network: MemoryNetwork,
        device: torch.device,
        *,
        lr: float = 2e-5,
        steps: tuple[int, ...] = (),
        gamma: float = 0.1,
        weight_decay: float = 1e-7,
        optimizer: str = "adam",
        momentum: float = 0.9,
        frozen_statistics: bool = True,
        amp: str = "off",
        cycle: bool = False,
        loss: str = "bootstrapped",
        quality_target: str = "object",
        published_gate: bool = False,
        distributed: bool = False,
        ema: float = 0.0,
        compile: bool = False,
    ) -> None:
        parameters = [p for p in network.parameters() if p.requires_grad]
        own = {"momentum": momentum} if optimizer == "sgd" else {"fused": device.type in FUSED}
        descent = OPTIMIZERS[optimizer](parameters, lr=lr, weight_decay=weight_decay, **own)
        schedule = torch.optim.lr_scheduler.MultiStepLR(descent, list(steps), gamma)
        super().__init__(network, device, descent, schedule, amp=amp, distributed=distributed, ema=ema)
        self.frozen_statistics = frozen_statistics
        self.learn()
        self.objective = Objective(
            segmentation=loss,
            quality_target=quality_target,
            quality_error=squared_error if network.options.get("score_activation") == "relu" else divergence,
            published_gate=published_gate,
        )
        clip: nn.Module = ClipForward(network, cycle=cycle)
        if compile:
            clip = cast(nn.Module, torch.compile(clip))
        self.clip = self.averaging(clip)

    def learn(self) -> None:
        """Put the network into training mode, but for batch-norm with frozen statistics."""
        self.network.train()
        if self.frozen_statistics:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def step(self, batches: Sequence[Batch]) -> tuple[dict[str, Tensor], ClipOutput, bool]:
        """One iteration on one batch, or on several whose gradients are averaged.

        A loss or a gradient that is not finite, in any process, leaves weights and statistics as they were.

        Args:
            batches: of equal size, on the device: `frames` (B,T,3,H,W), `masks` (B,T,K,H,W), `labels` (B,T,H,W),
                `selector` (B,K).

        Returns:
            The losses of `Objective`, detached and averaged; the predictions for the last batch; whether the weights
            were updated. A scaler that looks for its scale counts as an update.
        """
        statistics = [] if self.frozen_statistics else [buffer.clone() for buffer in self.network.buffers()]
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for number, batch in enumerate(batches, 1):
            with self.part_of_step(last=number == len(batches)):
                with autocast(self.device, self.amp):
                    output = self.clip(batch["frames"], batch["masks"][:, 0], batch["selector"])
                    losses = self.losses(output, batch)
                self.scaler.scale(losses["total_loss"] / len(batches)).backward()
            parts.append({name: value.detach() for name, value in losses.items()})
        losses = {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
        updated = self.update(losses["total_loss"])
        if not updated:
            for buffer, value in zip(self.network.buffers(), statistics, strict=False):
                buffer.copy_(value)
        return losses, output.detached(), updated

    def losses(self, output: ClipOutput, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`."""
        return self.objective.losses(output, batch, self.iteration)
