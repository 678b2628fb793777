"""One step of DropMAE pre-training (CVPR 2023)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.dropmae import Completion, DropMAE
from training.base_trainer import FUSED, BaseTrainer, decay_groups, half_cosine
from util.device import autocast

BETAS = (0.9, 0.95)


class Pretrainer(BaseTrainer):
    """Updates a `DropMAE` iteration by iteration, with AdamW.

    The rate rises linearly from 0 and falls to 0 as a half cosine.

    Args:
        network: already on its device.
        lr: the highest rate.
        iterations: of the whole run.
        warmup: iterations in which the rate rises.
        weight_decay: decoupled, of all but biases and norms.
        amp: one of `AUTOCAST`.
        distributed: average gradients over the processes of the default group.
    """

    def __init__(
        self,
        network: DropMAE,
        device: torch.device,
        *,
        lr: float,
        iterations: int,
        warmup: int = 0,
        weight_decay: float = 0.05,
        amp: str = "off",
        distributed: bool = False,
    ) -> None:
        groups = decay_groups(network.train().parameters(), weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=device.type in FUSED)
        scheduler = half_cosine(optimizer, warmup, iterations)
        super().__init__(network, device, optimizer, scheduler, amp=amp, distributed=distributed)
        self.complete = self.averaging(network)

    def step(self, batches: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], Completion, bool]:
        """One iteration on one batch, or on several whose gradients are averaged.

        Args:
            batches: of equal size, on the device: `frames` (B,2,3,H,W), normalised, the earlier one first.

        Returns:
            `total_loss`, averaged; what was made of the last batch; whether the weights were updated, see `update`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for number, batch in enumerate(batches, 1):
            with self.part_of_step(last=number == len(batches)):
                with autocast(self.device, self.amp):
                    output = self.complete(batch["frames"])
                self.scaler.scale(output.loss / len(batches)).backward()
            losses.append(output.loss.detach())
        loss = torch.stack(losses).mean()
        return {"total_loss": loss}, Completion(*(x.detach() for x in output)), self.update(loss)
