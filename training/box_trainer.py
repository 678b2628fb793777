"""One step of a box tracker (OSTrack, ECCV 2022; DropTrack in DropMAE, CVPR 2023), and its schedules by epochs."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from model.droptrack import DropTrack, Prediction, box_tokens
from training.base_trainer import FUSED, BaseTrainer
from training.box_losses import tracking_losses
from util.device import autocast

HEAD = "head."


class BoxTrainer(BaseTrainer):
    """Updates a `DropTrack` iteration by iteration, with AdamW in two groups: the head, and all else.

    Args:
        network: already on its device.
        steps_per_epoch: iterations of an epoch.
        lr: of the head.
        backbone_multiplier: of it, for all else.
        weight_decay: decoupled, of every entry.
        lr_drop_epochs: after each of these epochs the rates are multiplied by `gamma`.
        warmup: iterations in which the rates rise linearly from 0.
        keep_start, keep_warmup: see `keep_rate`.
        grad_clip: largest norm of all gradients together; 0 leaves them.
        giou_weight, l1_weight: see `tracking_losses`.
        amp: one of `AUTOCAST`.
        distributed: average gradients over the processes of the default group.
        ema: see `BaseTrainer`.
    """

    def __init__(
        self,
        network: DropTrack,
        device: torch.device,
        *,
        steps_per_epoch: int,
        lr: float = 2.5e-4,
        backbone_multiplier: float = 0.1,
        weight_decay: float = 1e-4,
        lr_drop_epochs: Sequence[int] = (),
        gamma: float = 0.1,
        warmup: int = 0,
        keep_start: int = 20,
        keep_warmup: int = 80,
        grad_clip: float = 0.1,
        giou_weight: float = 2.0,
        l1_weight: float = 5.0,
        amp: str = "off",
        distributed: bool = False,
        ema: float = 0.0,
    ) -> None:
        named = dict(network.train().named_parameters())
        groups = [
            {"params": [p for name, p in named.items() if name.startswith(HEAD)], "lr": lr},
            {"params": [p for name, p in named.items() if not name.startswith(HEAD)], "lr": lr * backbone_multiplier},
        ]
        optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=device.type in FUSED)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda iteration: (
                min(1.0, (iteration + 1) / (warmup + 1))
                * rate_factor(iteration // steps_per_epoch + 1, lr_drop_epochs, gamma)
            ),
        )
        super().__init__(network, device, optimizer, scheduler, amp=amp, distributed=distributed, ema=ema)
        self.find = self.averaging(network)
        self._tracker = network
        self._steps_per_epoch = steps_per_epoch
        self._keep_start, self._keep_warmup = keep_start, keep_warmup
        self._grad_clip = grad_clip
        self._weights = {"giou_weight": giou_weight, "l1_weight": l1_weight}

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration, counted from 1."""
        return self.iteration // self._steps_per_epoch + 1

    def keep_rate_of(self, epoch: int) -> float:
        """Share of the search tokens that each eliminating block keeps in an epoch."""
        last = next(iter(self._tracker.keep_rates.values()), 1.0)
        return keep_rate(epoch, start=self._keep_start, warmup=self._keep_warmup, last=last)

    def step(self, batches: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], Prediction, bool]:
        """One iteration on one batch, or on several whose gradients are averaged.

        Args:
            batches: of equal size, on the device, see `box_pairs_to_device`.

        Returns:
            What `tracking_losses` gives, averaged, and `keep_rate`; what was predicted for the last batch; whether the
            weights were updated, see `update`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        rate = self.keep_rate_of(self.epoch)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, 1):
            with self.part_of_step(last=number == len(batches)):
                prediction, losses = self._losses(self.find, batch, rate)
                self.scaler.scale(losses["total_loss"] / len(batches)).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        if self._grad_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._grad_clip)
        updated = self.update(sums["total_loss"])
        return {**sums, "keep_rate": torch.tensor(rate)}, prediction, updated

    def _losses(
        self, find: nn.Module, batch: Mapping[str, Tensor], rate: float
    ) -> tuple[Prediction, dict[str, Tensor]]:
        mask = None
        if self._tracker.ranking == "box":
            mask = box_tokens(batch["template_box"], self._tracker.template_size)
        with autocast(self.device, self.amp):
            prediction = find(batch["template"], batch["search"], mask, rate)
        losses = tracking_losses(prediction.maps.score, prediction.boxes, batch["search_box"], **self._weights)
        return prediction, losses

    @torch.no_grad()
    def validate(self, batches: Iterable[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], int]:
        """Losses of what the training has made so far, summed over the samples, and how many these are.

        Tokens are dropped at the rate of the epoch that the last iteration was in.
        """
        network = self.result.eval()
        rate = self.keep_rate_of(max(1, math.ceil(self.iteration / self._steps_per_epoch)))
        sums: dict[str, Tensor] = {}
        count = 0
        for batch in batches:
            size = len(batch["search"])
            for name, value in self._losses(network, batch, rate)[1].items():
                sums[name] = sums.get(name, 0) + value * size
            count += size
        self.network.train()
        return sums, count


def keep_rate(epoch: int, *, start: int, warmup: int, last: float) -> float:
    """Share of the search tokens that a block keeps: 1 before epoch `start`, then down to `last` as a half cosine.

    Args:
        epoch: counted from 1.
        start: first epoch in which the rate may fall.
        warmup: epochs of the fall.
        last: share after it.
    """
    if epoch < start:
        return 1.0
    if epoch >= start + warmup:
        return last
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * (epoch - start) / warmup))


def rate_factor(epoch: int, drop_epochs: Sequence[int], gamma: float) -> float:
    """Share of the first rate in an epoch counted from 1: times `gamma` after each of the epochs."""
    return gamma ** bisect_right(sorted(drop_epochs), epoch - 1)


def saved_epochs(epochs: int, *, interval: int, also: Sequence[int], last: int) -> list[int]:
    """Epochs counted from 1 after which weights are saved: multiples of `interval`, those in `also`, the last ones."""
    return [e for e in range(1, epochs + 1) if e % interval == 0 or e in also or e > epochs - last]
