"""What every trainer does after the gradients are there: update or refuse, count, save, go on."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from model.checkpoint import Checkpoint


class Learner:
    """Owns a network's optimiser, its schedule and the gradient scaler.

    Args:
        network: already on its device.
        optimizer, scheduler: of its parameters; the schedule moves once in an iteration.
        amp: one of `AUTOCAST`.
        distributed: whether other processes of the default group learn the same.

    Attributes:
        iteration: updates made or refused so far.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        *,
        amp: str,
        distributed: bool,
    ) -> None:
        self.network = network
        self.device = device
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.amp = amp
        self.distributed = distributed
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")
        self.iteration = 0

    @property
    def rate(self) -> float:
        """The learning rate of the next iteration."""
        return self.optimizer.param_groups[0]["lr"]

    def update(self, loss: Tensor) -> bool:
        """Change the weights by their gradients, unless loss or gradients are not finite in any process.

        Returns:
            Whether they were changed. A scaler that looks for its scale counts as a change.
        """
        self.iteration += 1
        updated = not self._spoilt(loss)
        if updated:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.scheduler.step()
        return updated

    def _spoilt(self, loss: Tensor) -> bool:
        bad = ~loss.isfinite()
        if not self.scaler.is_enabled():
            gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
            bad = bad | ~torch.nn.utils.get_total_norm(gradients).isfinite()
        if self.distributed:
            count = bad.float()
            dist.all_reduce(count)
            bad = count > 0
        return bool(bad)

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
