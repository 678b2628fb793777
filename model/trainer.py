"""One training step on clips, with its objective (QDMN, ECCV 2022)."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.aggregate import soft_aggregate
from model.checkpoint import Checkpoint
from model.losses import (
    Error,
    bootstrap_share,
    bootstrapped_cross_entropy,
    divergence,
    intersection_and_union,
    overlap_ratio,
    quality_loss,
    squared_error,
)
from model.memory_read import MemoryReader, stack_entries
from util.device import autocast

FUSED_ADAM = ("cpu", "cuda", "mps")

Batch = dict[str, Any]


class ClipOutput(NamedTuple):
    """Predictions for the frames behind the first.

    Logits (B,T-1,K+1,H,W), masks (B,T-1,K,H,W), quality (B,T-1,K), or None where the network has no scorer.
    """

    logits: Tensor
    masks: Tensor
    quality: Tensor | None


class ClipForward(nn.Module):
    """Runs a clip through a network as inference does: every predicted mask enters the memory.

    Gradients flow through predicted masks into later frames; the prior mask of a query is detached.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.reader = MemoryReader(top_k=None, similarity=network.similarity)

    def forward(self, frames: Tensor, first_masks: Tensor, selector: Tensor) -> ClipOutput:
        """Segment a clip.

        Args:
            frames: (B,T,3,H,W), normalised.
            first_masks: (B,K,H,W) in [0, 1], the annotation of the first frame.
            selector: (B,K), 1 for a real object, 0 for an absent one.
        """
        masks = first_masks
        entries = [self.network.encode_memory(frames[:, 0], masks)]
        outputs = []
        for t in range(1, frames.shape[1]):
            query = self.network.encode_query(frames[:, t], masks.detach().amax(1, keepdim=True))
            logits = self.network.segment(query, stack_entries(entries), self.reader)
            logits = soft_aggregate(logits.float().sigmoid() * selector[..., None, None])
            masks = logits.softmax(1)[:, 1:]
            outputs.append((logits, masks))
            if self.network.quality_scorer is not None or t + 1 < frames.shape[1]:
                entries.append(self.network.encode_memory(frames[:, t], masks, query))
        logits, masks = (torch.stack(parts, 1) for parts in zip(*outputs, strict=True))
        if self.network.quality_scorer is None:
            return ClipOutput(logits, masks, None)
        return ClipOutput(logits, masks, torch.stack([entry.quality for entry in entries[1:]], 1))


def clip_losses(
    output: ClipOutput, batch: Batch, iteration: int, *, quality_target: str, quality_error: Error
) -> dict[str, Tensor]:
    """Losses of a clip, summed over frames and averaged over samples.

    Returns:
        `total_loss`; `loss_1` ... of each frame (cross-entropy + quality, 1:1); `segmentation_loss`; for networks with
        a scorer `quality_loss` and `quality_gap`, the mean distance of score and IoU; `p`, the share of pixels that
        count; and `intersection` and `union` of each object in pixels.
    """
    truth, labels, selector = batch["masks"][:, 1:], batch["labels"][:, 1:], batch["selector"]
    share = bootstrap_share(iteration)
    absent = torch.cat([torch.zeros_like(selector[:, :1]), 1 - selector], 1).bool()[..., None, None]
    intersection, union = intersection_and_union(output.masks.detach(), truth)
    ious = overlap_ratio(intersection, union)
    frames = range(truth.shape[1])
    masked = [output.logits[:, t].masked_fill(absent, -torch.inf) for t in frames]
    segmentation = [bootstrapped_cross_entropy(masked[t], labels[:, t], share).mean() for t in frames]
    losses, parts = segmentation, {}
    if output.quality is not None:
        scores = output.quality.float()
        quality = [
            quality_loss(scores[:, t], ious[:, t], selector, target=quality_target, error=quality_error).mean()
            for t in frames
        ]
        losses = [s + q for s, q in zip(segmentation, quality, strict=True)]
        gap = (scores.detach() - ious).abs() * selector.unsqueeze(1)
        parts = {
            "quality_loss": torch.stack(quality).sum(),
            "quality_gap": gap.sum() / (selector.sum() * truth.shape[1]).clamp(min=1),
        }
    return {
        "total_loss": torch.stack(losses).sum(),
        **{f"loss_{t}": loss for t, loss in enumerate(losses, 1)},
        "segmentation_loss": torch.stack(segmentation).sum(),
        **parts,
        "p": torch.tensor(share),
        "intersection": intersection.sum((0, 1)),
        "union": union.sum((0, 1)),
    }


class Trainer:
    """Updates a network iteration by iteration; owns the optimiser, its schedule and the gradient scaler.

    Args:
        network: already on its device; parameters that need no gradient keep their values.
        lr, steps, gamma, weight_decay: Adam, and the iterations at which the rate is multiplied by gamma.
        frozen_statistics: keep the batch-norm statistics, as published; for networks with a pretrained trunk.
        amp: one of `AUTOCAST`.
        quality_target: see `quality_loss`.
        distributed: average gradients over the processes of the default group.
        compile: let `torch.compile` fuse the clip forward.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        lr: float = 2e-5,
        steps: tuple[int, ...] = (),
        gamma: float = 0.1,
        weight_decay: float = 1e-7,
        frozen_statistics: bool = True,
        amp: str = "off",
        quality_target: str = "object",
        distributed: bool = False,
        compile: bool = False,
    ) -> None:
        self.network = network.train(not frozen_statistics)
        self.device = device
        self.amp = amp
        self.quality_target = quality_target
        self.distributed = distributed
        self.iteration = 0
        clip: nn.Module = ClipForward(network)
        if compile:
            clip = torch.compile(clip)
        devices = [device] if device.type == "cuda" else None
        self.clip = DistributedDataParallel(clip, device_ids=devices) if distributed else clip
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=lr, weight_decay=weight_decay, fused=device.type in FUSED_ADAM
        )
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, list(steps), gamma)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def step(self, batches: Sequence[Batch]) -> tuple[dict[str, Tensor], ClipOutput, bool]:
        """One iteration on one batch, or on several whose gradients are averaged.

        A loss or a gradient that is not finite, in any process, leaves weights and statistics as they were.

        Args:
            batches: of equal size, on the device: `frames` (B,T,3,H,W), `masks` (B,T,K,H,W), `labels` (B,T,H,W),
                `selector` (B,K).

        Returns:
            The losses of `clip_losses`, detached and averaged; the predictions for the last batch; whether the weights
            were updated. A scaler that looks for its scale counts as an update.
        """
        statistics = [buffer.clone() for buffer in self.network.buffers()] if self.network.training else []
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for number, batch in enumerate(batches, 1):
            last = number == len(batches)
            with nullcontext() if last or not self.distributed else self.clip.no_sync():
                with autocast(self.device, self.amp):
                    output = self.clip(batch["frames"], batch["masks"][:, 0], batch["selector"])
                    losses = self.losses(output, batch)
                self.scaler.scale(losses["total_loss"] / len(batches)).backward()
            parts.append({name: value.detach() for name, value in losses.items()})
        losses = {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
        updated = self._update(losses["total_loss"])
        if not updated:
            for buffer, value in zip(self.network.buffers(), statistics, strict=False):
                buffer.copy_(value)
        self.scheduler.step()
        self.iteration += 1
        return losses, ClipOutput(*(None if x is None else x.detach() for x in output)), updated

    def _update(self, loss: Tensor) -> bool:
        bad = ~loss.isfinite()
        if not self.scaler.is_enabled():
            bad = bad | ~torch.nn.utils.get_total_norm([p.grad for p in self.parameters]).isfinite()
        if self.distributed:
            count = bad.float()
            dist.all_reduce(count)
            bad = count > 0
        if bad:
            return False
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return True

    @property
    def rate(self) -> float:
        """The learning rate of the next iteration."""
        return self.optimizer.param_groups[0]["lr"]

    def losses(self, output: ClipOutput, batch: Batch) -> dict[str, Tensor]:
        """See `clip_losses`. A scorer that ends in a sigmoid learns by divergence, the published one by squares."""
        error = divergence if self.network.options.get("score_activation") != "relu" else squared_error
        return clip_losses(output, batch, self.iteration, quality_target=self.quality_target, quality_error=error)

    def checkpoint(self, arguments: dict[str, Any]) -> Checkpoint:
        """Everything that `restore` needs to go on; random draws follow from seed and iteration."""
        return Checkpoint(
            arch=self.network.arch,
            options=self.network.options,
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            scaler=self.scaler.state_dict(),
            iteration=self.iteration,
            arguments=arguments,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint whose network has been built and filled already."""
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        if self.scaler.is_enabled() and checkpoint.scaler:
            self.scaler.load_state_dict(checkpoint.scaler)
        self.iteration = checkpoint.iteration
