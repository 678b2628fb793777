"""What a training run reports: TensorBoard scalars and pictures, and a line or a bar on the console."""

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import progressbar
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import draw_segmentation_masks, make_grid

from util.palette import voc_palette
from util.tensors import denormalise


class TrainingLogger:
    """Averages scalars over an interval and writes them.

    Args:
        folder: TensorBoard folder, or None for the console alone.
        start, total: iterations at the beginning and at the end of the run.
        interval: iterations between two reports.
    """

    def __init__(self, folder: Path | None, *, start: int, total: int, interval: int) -> None:
        self._writer = None if folder is None else SummaryWriter(str(folder))
        self._interval = interval
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
        self._count = 0
        self._since = time.perf_counter()
        self._bar = None
        if sys.stderr.isatty():
            widgets = [progressbar.Variable("loss", precision=4), " ", progressbar.SimpleProgress(), " "]
            widgets += [progressbar.Bar(), " ", progressbar.AdaptiveETA()]
            self._bar = progressbar.ProgressBar(min_value=start, max_value=total, widgets=widgets, fd=sys.stderr)

    def scalars(self, iteration: int, losses: Mapping[str, Tensor], rate: float) -> None:
        """Take the losses of an iteration (see `clip_losses`); report when the interval is full."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value
        self._count += 1
        if self._bar is not None:
            self._bar.update(iteration)
        if iteration % self._interval == 0:
            self._report(iteration, rate)

    def _report(self, iteration: int, rate: float) -> None:
        intersection, union = (self._sums.pop(name) for name in ("intersection", "union"))
        values = {name: (total / self._count).item() for name, total in self._sums.items()}
        ious = ((intersection + 1) / (union + 1)).tolist()
        values |= {("iou", "sec_iou")[k] if k < 2 else f"iou_{k + 1}": iou for k, iou in enumerate(ious)}
        values |= {"lr": rate, "seconds_per_iteration": (time.perf_counter() - self._since) / self._count}
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"train/{name}", value, iteration)
        if self._bar is not None:
            self._bar.update(iteration, loss=values["total_loss"])
        else:
            names = ("total_loss", "segmentation_loss", "quality_loss", "quality_gap", "iou", "seconds_per_iteration")
            print(f"iteration {iteration}: " + ", ".join(f"{name} {values[name]:.4f}" for name in names), flush=True)
        self._sums.clear()
        self._count, self._since = 0, time.perf_counter()

    def pictures(self, iteration: int, frames: Tensor, truth: Tensor, predicted: Tensor, samples: int = 4) -> None:
        """Write a grid: for each sample a row of frames with the true masks, and one with the predicted masks.

        Args:
            frames: (B,T,3,H,W), normalised.
            truth: (B,T,K,H,W) in [0, 1].
            predicted: (B,T-1,K,H,W) in [0, 1]; the first frame shows its true masks in both rows.
        """
        if self._writer is None:
            return
        predicted = torch.cat([truth[:, :1], predicted], 1)
        rows = []
        for sample in range(min(samples, len(frames))):
            pictures = denormalise(frames[sample].float().cpu())
            for masks in (truth[sample], predicted[sample]):
                rows += [_overlay(p, m) for p, m in zip(pictures, masks.cpu() > 0.5, strict=True)]
        self._writer.add_image("train/true_above_predicted", make_grid(rows, nrow=frames.shape[1]), iteration)

    def close(self) -> None:
        """Write what is left and end the bar."""
        if self._bar is not None:
            self._bar.finish()
        if self._writer is not None:
            self._writer.close()


def _overlay(picture: Tensor, masks: Tensor) -> Tensor:
    """Picture (3,H,W) uint8 with coloured masks (K,H,W) bool."""
    colours = [tuple(colour) for colour in voc_palette()[1 : len(masks) + 1].tolist()]
    return draw_segmentation_masks(picture, masks, alpha=0.5, colors=colours)
