"""What every trainer does after the gradients are there: update or refuse, count, save, go on."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model import Network
from model.weights.checkpoint import Checkpoint
from util.errors import InputError

FUSED = ("cpu", "cuda", "mps")  # devices whose Adam works on all parameters at once


class BaseTrainer:
    """Owns a network's optimiser, its schedule and the gradient scaler.

    Args:
        network: already on its device.
        optimizer, scheduler: of its parameters; the schedule moves once in an iteration.
        amp: one of `AUTOCAST`.
        distributed: whether other processes of the default group learn the same.
        ema: decay of the moving average of the weights, in (0, 1); 0 for none.

    Attributes:
        iteration: updates made or refused so far.
        stopping: whether this process has been asked to stop; from an update on, whether any process has.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        *,
        amp: str,
        distributed: bool,
        ema: float = 0.0,
    ) -> None:
        self.network = network
        self._average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
        if self._average is not None:
            self._average.n_averaged.fill_(1)  # the first weights count, instead of being replaced by the next
        self.device = device
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.amp = amp
        self.distributed = distributed
        self._averaging: DistributedDataParallel | None = None
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")
        self.iteration = 0
        self.stopping = False

    def averaging(self, module: nn.Module) -> nn.Module:
        """The module in a form whose backward pass averages gradients over the processes, where there are several."""
        if not self.distributed:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        # Batch-norm in training looks at its batch alone: nobody needs the leading process's statistics but those who
        # save them, and it is that process which saves.
        renamed = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # of late
        unshared: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
        self._averaging = DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True, **unshared)
        return self._averaging

    def part_of_step(self, *, last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of a batch: gradients of several batches are averaged once, with the last."""
        return nullcontext() if last or self._averaging is None else self._averaging.no_sync()

    @property
    def rate(self) -> float:
        """The learning rate of the next iteration."""
        return self.optimizer.param_groups[0]["lr"]

    @property
    def result(self) -> Network:
        """What the training has made so far: the network with the average of its weights, where there is one."""
        return self.network if self._average is None else cast(Network, self._average.module)

    def update(self, loss: Tensor) -> bool:
        """Change the weights by their gradients, unless loss or gradients are not finite in any process.

        Returns:
            Whether they were changed. A scaler that looks for its scale counts as a change.
        """
        self.iteration += 1
        spoilt, self.stopping = self._in_any(self._spoilt(loss), self.stopping)
        updated = not spoilt
        if updated:
            scale = None if self._average is None else self.scaler.get_scale()  # a GPU is waited for
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self._average is not None and scale is not None and self.scaler.get_scale() >= scale:
                self._average.update_parameters(self.network)
        self.scheduler.step()
        return updated

    def _spoilt(self, loss: Tensor) -> Tensor:
        spoilt = ~loss.isfinite()
        if self.scaler.is_enabled():
            return spoilt
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        return spoilt | ~torch.nn.utils.get_total_norm(gradients).isfinite()

    def _in_any(self, spoilt: Tensor, stop: bool) -> tuple[bool, bool]:
        """Both flags, whether they are set in any process. The device is waited for once, the processes meet once."""
        if not self.distributed:
            return bool(spoilt), stop
        flags = torch.stack([spoilt, torch.full_like(spoilt, stop)]).float()
        dist.all_reduce(flags)
        any_spoilt, any_stop = (flags > 0).tolist()
        return any_spoilt, any_stop

    def checkpoint(self, arguments: dict[str, Any]) -> Checkpoint:
        """Everything that `restore` needs to go on; random draws follow from seed and iteration."""
        return Checkpoint(
            arch=self.network.arch,
            options=self.network.options,
            network=self.network.state_dict(),
            average=None if self._average is None else self.result.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            scaler=self.scaler.state_dict(),
            iteration=self.iteration,
            arguments=arguments,
        )

    def restore(self, checkpoint: Checkpoint, origin: object = "the checkpoint") -> None:
        """Continue from a checkpoint whose network has been built and filled already.

        Args:
            checkpoint: of a trainer with the same options.
            origin: where it is from, for messages.

        Raises:
            InputError: it does not fit the optimiser; nothing has been changed then.
        """
        fault = (
            _optimizer_fault(checkpoint.optimizer, self.optimizer)
            or _plain_fault("scheduler", checkpoint.scheduler, self.scheduler.state_dict())
            or (self.scaler.is_enabled() and _plain_fault("scaler", checkpoint.scaler, self.scaler.state_dict()))
            or (self._average is not None and _weights_fault(checkpoint.average, self.result.state_dict()))
        )
        if fault or checkpoint.optimizer is None or checkpoint.scheduler is None:
            raise InputError(f"{origin} cannot be resumed from: {fault}; pass it by --load_network to take its weights")
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        if self.scaler.is_enabled() and checkpoint.scaler:
            self.scaler.load_state_dict(checkpoint.scaler)
        if self._average is not None and checkpoint.average:
            self.result.load_state_dict(checkpoint.average)
        self.iteration = checkpoint.iteration


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: no weight decay of biases and norms."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]


def half_cosine(optimizer: Optimizer, warmup: int, iterations: int) -> LambdaLR:
    """A rate that rises linearly from 0 for so many iterations, and then falls to 0 as a half cosine."""

    def share(iteration: int) -> float:
        if iteration < warmup:
            return iteration / warmup
        return 0.5 + 0.5 * math.cos(math.pi * (iteration - warmup) / max(1, iterations - warmup))

    return LambdaLR(optimizer, share)


def _optimizer_fault(found: dict[str, Any] | None, optimizer: Optimizer) -> str:
    """What of an optimiser's saved state does not fit; a fused optimiser would write outside of its memory."""
    own = optimizer.state_dict()["param_groups"]
    groups, state = (found or {}).get("param_groups"), (found or {}).get("state")
    if not isinstance(groups, list) or not isinstance(state, dict) or len(groups) != len(own):
        return "its optimizer state is damaged"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for group, expected in zip(groups, own, strict=True):
        if not isinstance(group, dict) or group.get("params") != expected["params"]:
            return "its optimizer is of another number of parameters"
        fault = _plain_fault("optimizer", group, expected)
        if fault:
            return fault
    for number, entry in state.items():
        if not isinstance(number, int) or not 0 <= number < len(parameters) or not isinstance(entry, dict):
            return f"its optimizer state has the entry {number!r:.50}"
        for name, value in entry.items():
            shapes = (parameters[number].shape, torch.Size([]))
            if isinstance(value, Tensor):
                plain = value.layout == torch.strided and not value.is_meta and value.is_floating_point()
                if not plain or value.shape not in shapes[name == "step" :] or not bool(value.isfinite().all()):
                    return f"{name} of parameter {number} does not fit, or is not finite"
            elif value is not None:
                return f"{name} of parameter {number} is a {type(value).__name__}"
    return ""


def _weights_fault(found: dict[str, Any] | None, expected: dict[str, Tensor]) -> str:
    """What of the saved average of the weights does not fit."""
    if not isinstance(found, dict) or found.keys() != expected.keys():
        return "it has no average of the weights of this network"
    for name, value in found.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            return f"the average of {name} does not fit"
    return ""


def _plain_fault(name: str, found: Any, expected: dict[str, Any]) -> str:
    """What of a saved dictionary of plain values differs in its keys or kinds from what is expected."""
    if not isinstance(found, dict):
        return f"its {name} state is damaged"
    for key, value in found.items():
        if key not in expected:
            return f"its {name} state has an entry {key!r:.50}"
        number = isinstance(value, int | float) and isinstance(expected[key], int | float)
        if value is not None and expected[key] is not None and not number and type(value) is not type(expected[key]):
            return f"{key} of its {name} is a {type(value).__name__}"
        if isinstance(value, int | float) and not math.isfinite(value):
            return f"{key} of its {name} is not finite"
    missing = [key for key in expected if key not in found and key != "params"]
    return f"its {name} state lacks {missing[0]}" if missing else ""
