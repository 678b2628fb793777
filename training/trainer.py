"""One training step on clips, with its objective (QDMN, ECCV 2022)."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.losses import divergence, squared_error
from training.clip_forward import ClipForward, ClipOutput
from training.learner import Learner
from training.objective import Batch, Objective
from util.device import autocast

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
FUSED_ADAM = ("cpu", "cuda", "mps")


class Trainer(Learner):
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
        parameters = [p for p in network.parameters() if p.requires_grad]
        own = {"momentum": momentum} if optimizer == "sgd" else {"fused": device.type in FUSED_ADAM}
        descent = OPTIMIZERS[optimizer](parameters, lr=lr, weight_decay=weight_decay, **own)
        schedule = torch.optim.lr_scheduler.MultiStepLR(descent, list(steps), gamma)
        super().__init__(network, device, descent, schedule, amp=amp, distributed=distributed)
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
            clip = torch.compile(clip)
        devices = [device] if device.type == "cuda" else None
        self.clip = DistributedDataParallel(clip, device_ids=devices) if distributed else clip

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
        updated = self.update(losses["total_loss"])
        if not updated:
            for buffer, value in zip(self.network.buffers(), statistics, strict=False):
                buffer.copy_(value)
        return losses, ClipOutput(*(None if x is None else x.detach() for x in output)), updated

    def losses(self, output: ClipOutput, batch: Batch) -> dict[str, Tensor]:
        """See `Objective`."""
        return self.objective.losses(output, batch, self.iteration)
