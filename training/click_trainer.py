"""One training step of what turns clicks into masks (RITM, ICIP 2022): a simulated user and the decoder take turns."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from model.interactive import ClickDecoder, ClickNetwork, Prompt, render_prompts
from model.losses import mask_iou, normalised_focal_loss
from model.simulated_user import draw_beginning, draw_correction
from training.base_trainer import FUSED, BaseTrainer, decay_groups, half_cosine
from util.device import autocast

LEAST_PIXELS = 64  # of an object that is learned


class Rounds(NamedTuple):
    """What came of a batch.

    Attributes:
        masks: probabilities (B,R,1,H,W) after each round.
        truth: (B,1,H,W), the object that the user had in mind; empty where the sample shows none.
    """

    masks: Tensor
    truth: Tensor


class Decode(nn.Module):
    """One round: from a frame, the features of the trunk, prompts and the mask so far to logits (B,1,H,W)."""

    def __init__(self, decoder: ClickDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, frames: Tensor, features: tuple[Tensor, ...], prompts: Tensor, previous: Tensor) -> Tensor:
        """Frames (B,3,H,W) of whole cells, features at strides 4, 8 and 16; see `ClickNetwork.segment`."""
        size = (frames.shape[-2], frames.shape[-1])
        return self.decoder(self.decoder.project(frames, features, size), prompts, previous)


class ClickTrainer(BaseTrainer):
    """Updates the decoder of a `ClickNetwork` iteration by iteration, with AdamW; the trunk keeps its weights.

    In every iteration the user begins (`draw_beginning`), and corrects what the network makes of it (`draw_correction`)
    `rounds` - 1 times. Each round has its loss, the gradients of which are averaged; none flows through the previous
    mask. The rate rises linearly from 0 and falls to 0 as a half cosine. Every draw comes from torch's default
    generator.

    Args:
        network: already on its device.
        lr: the highest rate.
        iterations: of the whole run.
        warmup: iterations in which the rate rises.
        weight_decay: decoupled, of all but biases and norms.
        rounds: of an iteration.
        amp: one of `AUTOCAST`.
        distributed: average gradients over the processes of the default group.
        ema: decay of the moving average of the weights, see `BaseTrainer`.
    """

    def __init__(
        self,
        network: ClickNetwork,
        device: torch.device,
        *,
        lr: float,
        iterations: int,
        warmup: int = 0,
        weight_decay: float = 0.01,
        rounds: int = 4,
        amp: str = "off",
        distributed: bool = False,
        ema: float = 0.0,
    ) -> None:
        decoder = network.decoder.train()
        groups = decay_groups(decoder.parameters(), weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=lr, fused=device.type in FUSED)
        scheduler = half_cosine(optimizer, warmup, iterations)
        super().__init__(decoder, device, optimizer, scheduler, amp=amp, distributed=distributed, ema=ema)
        self.trunk = network.trunk.eval()
        self.rounds = rounds
        self.decode = self.averaging(Decode(decoder))

    def step(self, batches: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], Rounds, bool]:
        """One iteration on one batch, or on several whose gradients are averaged.

        Args:
            batches: of equal size, on the device: `frames` (B,1,3,H,W), normalised, of whole cells of 16 pixels, and
                `masks` (B,1,K,H,W), from which one object of each sample is drawn.

        Returns:
            `total_loss`, `iou` after the last round and `iou_first` after the first, averaged; what came of the last
            batch; whether the weights were updated, see `BaseTrainer.update`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        reports = []
        for number, batch in enumerate(batches, 1):
            loss, rounds = self._run(batch, last=number == len(batches), share=1 / len(batches))
            known = rounds.truth.flatten(1).any(1)
            ious = mask_iou(rounds.masks[:, :, 0], rounds.truth.expand(-1, self.rounds, -1, -1))[known]
            first, last = (ious[:, i].mean() if known.any() else loss.new_zeros(()) for i in (0, -1))
            reports.append({"total_loss": loss, "iou_first": first, "iou": last})
        losses = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        return losses, rounds, self.update(losses["total_loss"])

    def _run(self, batch: Mapping[str, Tensor], *, last: bool, share: float) -> tuple[Tensor, Rounds]:
        """The rounds of a batch, and their gradients times `share`; the mean loss."""
        frames = batch["frames"][:, 0].contiguous(memory_format=torch.channels_last)
        truth = draw_objects(batch["masks"][:, 0])
        with torch.no_grad(), autocast(self.device, self.amp):
            features = self.trunk(frames)
        users = [User(mask) for mask in (truth[:, 0] > 0).cpu().numpy()]
        weight = truth.flatten(1).any(1).float()
        weight = weight / weight.sum().clamp(min=1)
        previous = torch.from_numpy(np.stack([user.before for user in users])[:, None]).to(self.device)
        masks, total = [], torch.zeros((), device=self.device)
        for number in range(self.rounds):
            prompts = torch.cat([render_prompts(user.prompts, user.truth.shape) for user in users]).to(self.device)
            with self.part_of_step(last=last and number == self.rounds - 1):
                with autocast(self.device, self.amp):
                    logits = self.decode(frames, features, prompts, previous)
                loss = (weight * normalised_focal_loss(logits, truth)).sum() / self.rounds
                self.scaler.scale(loss * share).backward()
            total += loss.detach()
            previous = logits.detach().sigmoid()
            masks.append(previous)
            for user, mask in zip(users, (previous[:, 0] > 0.5).cpu().numpy(), strict=True):
                user.look(mask)
        return total, Rounds(torch.stack(masks, 1), truth)


class User:
    """A simulated user with one object in mind, and what he has said so far.

    Attributes:
        truth: (H,W), bool; where it is empty there is nothing to say.
        prompts: so far.
        before: the mask (H,W) that there was when he began, float32.
    """

    truth: np.ndarray

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth
        self.prompts: list[Prompt] = []
        self.before = np.zeros(truth.shape, np.float32)
        if truth.any():
            self.prompts, self.before = draw_beginning(truth)

    def look(self, predicted: np.ndarray) -> None:
        """Take a predicted mask (H,W), bool, and say what is wrong with it."""
        correction = draw_correction(self.truth, predicted) if self.truth.any() else None
        if correction is not None:
            self.prompts.append(correction)


def draw_objects(masks: Tensor) -> Tensor:
    """One object of each sample, (B,K,H,W) in [0, 1] -> (B,1,H,W) of 0 and 1; empty where none has `LEAST_PIXELS`."""
    masks = (masks > 0.5).float()
    large = masks.flatten(2).sum(2) >= LEAST_PIXELS
    chosen = torch.multinomial(large.float().cpu() + 1e-9, 1).to(masks.device)
    drawn = masks.gather(1, chosen[:, :, None, None].expand(-1, 1, *masks.shape[-2:]))
    return drawn * large.gather(1, chosen)[:, :, None, None]
