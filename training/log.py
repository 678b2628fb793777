"""What a training run reports: TensorBoard scalars and pictures, and a line or a bar on the console."""

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import progressbar
import torch
from torch import Tensor

from datasets.mask_files import voc_palette
from util.distributed import Process, mean_over
from util.tensors import denormalise

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CONSOLE = (
    "total_loss",
    "segmentation_loss",
    "quality_loss",
    "quality_gap",
    "cycle_loss",
    "giou_loss",
    "l1_loss",
    "centre_loss",
    "iou_first",
    "iou",
    "seconds_per_iteration",
)


class TrainingLogger:
    """Averages scalars over an interval and over the processes; the leading process writes them.

    Args:
        folder: TensorBoard folder, or None for the console alone.
        process: this process; every process needs a logger.
        start, total: iterations at the beginning and at the end of the run.
        interval: iterations between two reports.
        batch: samples of an iteration, over all processes.
    """

    def __init__(
        self, folder: Path | None, process: Process, *, start: int, total: int, interval: int, batch: int
    ) -> None:
        self._process = process
        self._writer = _open_writer(folder) if folder is not None and process.leads else None
        self._interval, self._batch = interval, batch
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
        self._waited, self._count = 0.0, 0
        self._since = time.perf_counter()
        self._bar = None
        if process.leads and sys.stderr.isatty():
            widgets = [progressbar.Variable("loss", precision=4), " ", progressbar.SimpleProgress(), " "]
            widgets += [progressbar.Bar(), " ", progressbar.AdaptiveETA()]
            self._bar = progressbar.ProgressBar(min_value=start, max_value=total, widgets=widgets, fd=sys.stderr)

    def step(self, iteration: int, losses: Mapping[str, Tensor], rate: float, waited: float) -> None:
        """Take the losses of an iteration (see `Objective`), its rate, and the seconds that it waited for data."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value
        self._waited += waited
        self._count += 1
        if self._bar is not None:
            self._bar.update(iteration)
        if iteration % self._interval == 0:
            self._report(iteration, rate)

    def _report(self, iteration: int, rate: float) -> None:
        sums = {name: mean_over(self._process, total) for name, total in self._sums.items()}
        nothing = torch.zeros(0)
        intersection, union = sums.pop("intersection", nothing), sums.pop("union", nothing)
        values = {name: (total / self._count).item() for name, total in sums.items()}
        ious = ((intersection + 1) / (union + 1)).tolist()
        values |= {("iou", "sec_iou")[k] if k < 2 else f"iou_{k + 1}": iou for k, iou in enumerate(ious)}
        seconds = (time.perf_counter() - self._since) / self._count
        values |= {"lr": rate, "seconds_per_iteration": seconds, "samples_per_second": self._batch / seconds}
        values["data_wait_share"] = self._waited / self._count / seconds
        for name, value in values.items():
            self.scalar(name, value, iteration)
        if self._bar is not None:
            self._bar.update(iteration, loss=values["total_loss"])
        elif self._process.leads:
            shown = ", ".join(f"{name} {values[name]:.4f}" for name in CONSOLE if name in values)
            print(f"iteration {iteration}: {shown}", flush=True)
        self._sums.clear()
        self._waited, self._count, self._since = 0.0, 0, time.perf_counter()

    def scalar(self, name: str, value: float, iteration: int) -> None:
        """Write one value."""
        if self._writer is not None:
            self._writer.add_scalar(f"train/{name}", value, iteration)

    def pictures(
        self,
        iteration: int,
        frames: Tensor,
        truth: Tensor,
        predicted: Tensor,
        quality: Tensor | None,
        samples: int = 4,
    ) -> None:
        """Write a grid: for each sample a row of frames with the true masks, and one with the predicted masks.

        The predicted ones say for each object what quality was predicted and what the IoU is.

        Args:
            iteration: after which the masks were predicted.
            frames: (B,T,3,H,W), normalised.
            truth: (B,T,K,H,W) in [0, 1].
            predicted: (B,T-1,K,H,W) in [0, 1]; the first frame shows its true masks in both rows.
            quality: (B,T-1,K) in [0, 1]; None where the network has no scorer.
            samples: most samples that are shown.
        """
        if self._writer is None:
            return
        rows = []
        for sample in range(min(samples, len(frames))):
            pictures = denormalise(frames[sample].float().cpu())
            true = truth[sample].cpu() > 0.5
            guess = torch.cat([true[:1], predicted[sample].cpu() > 0.5])
            overlap = (true & guess).flatten(2).sum(2) / (true | guess).flatten(2).sum(2).clamp(min=1)
            rows += [_overlay(p, m) for p, m in zip(pictures, true, strict=True)]
            for t, (picture, masks) in enumerate(zip(pictures, guess, strict=True)):
                lines = [f"{iou:.2f}" for iou in overlap[t].tolist()] if t else []
                if quality is not None and t:
                    lines = [
                        f"q {q:.2f} / {iou}" for q, iou in zip(quality[sample, t - 1].tolist(), lines, strict=True)
                    ]
                rows.append(_caption(_overlay(picture, masks), lines))
        self.grid("true_above_predicted", rows, frames.shape[1], iteration)

    def grid(self, name: str, pictures: Sequence[Tensor], columns: int, iteration: int) -> None:
        """Write pictures (3,H,W), uint8, in rows."""
        if self._writer is not None:
            from torchvision.utils import make_grid  # here: it takes as long to import as torch itself

            self._writer.add_image(f"train/{name}", make_grid(list(pictures), nrow=columns), iteration)

    def close(self) -> None:
        """Write what is left and end the bar."""
        if self._bar is not None:
            self._bar.finish(dirty=True)
        if self._writer is not None:
            self._writer.close()


def _overlay(picture: Tensor, masks: Tensor) -> Tensor:
    """Picture (3,H,W) uint8 with coloured masks (K,H,W) bool."""
    from torchvision.utils import draw_segmentation_masks

    colours = [tuple(colour) for colour in voc_palette()[1 : len(masks) + 1].tolist()]
    return draw_segmentation_masks(picture, masks, alpha=0.5, colors=colours)


def _caption(picture: Tensor, lines: Sequence[str]) -> Tensor:
    """Picture (3,H,W) uint8 with lines of text."""
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    for line, text in enumerate(lines, 1):
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(pixels, text, (3, 13 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness, cv2.LINE_AA)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _open_writer(folder: Path) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # here: it takes long to import

    return SummaryWriter(str(folder))
