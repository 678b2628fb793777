"""One training step on clips, with its objective (QDMN, ECCV 2022)."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.checkpoint import Checkpoint
from model.clip_forward import ClipForward, ClipOutput
from model.losses import divergence, squared_error
from model.objective import Batch, Objective
from util.device import autocast

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
FUSED_ADAM = ("cpu", "cuda", "mps")


class Trainer:
    """Updates a network iteration by iteration; owns the optimiser, its schedule and the gradient scaler.

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
        optimizer: str = "adam",
        momentum: float = 0.9,
        frozen_statistics: bool = True,
        amp: str = "off",
        cycle: bool = False,
        loss: str = "bootstrapped",
        quality_target: str = "object",
        published_gate: bool = False,
        distributed: bool = False,
        compile: bool = False,
    ) -> None:
        self.network = network
        self.frozen_statistics = frozen_statistics
        self.learn()
        self.device = device
        self.amp = amp
        self.distributed = distributed
        self.iteration = 0
        self.objective = Objective(
            segmentation=loss,
            quality_target=quality_target,
            quality_error=squared_error if network.options.get("score_activation") == "relu" else divergence,
            published_gate=published_gate,
        )
        clip: nn.Module = ClipForward(network, cycle=cycle)
        if compile:
            clip = torch.compile(clip)
        devices = [device] if device.type == "cuda" else None
        self.clip = DistributedDataParallel(clip, device_ids=devices) if distributed else clip
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        own = {"momentum": momentum} if optimizer == "sgd" else {"fused": device.type in FUSED_ADAM}
        self.optimizer = OPTIMIZERS[optimizer](self.parameters, lr=lr, weight_decay=weight_decay, **own)
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, list(steps), gamma)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

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
        """See `Objective`."""
        return self.objective.losses(output, batch, self.iteration)

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
