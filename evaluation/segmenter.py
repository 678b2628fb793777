"""What segments the frames of a video, one or several at a time, on a device."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from evaluation.video import Frame, Video
from util.device import autocast, from_device, to_device
from util.errors import InputError
from util.tensors import most_likely


class Core(Protocol):
    """An inference core: segments the frames of one video in order."""

    report: object
    objects: tuple[int, ...]

    def prepare(self, image: Tensor) -> None:
        """The image of a coming frame, which `step` will be given."""
        ...

    def step(self, image: Tensor, mask: Tensor | None, objects: Sequence[int] | None) -> Tensor:
        """Image (3,h,w) and, where given, mask (J,h,w) of `objects` -> probabilities (K+1,h,w), background first."""
        ...

    def steps(self, images: Tensor) -> Iterator[Tensor]:
        """Images (F,3,h,w) without masks -> probabilities (K+1,h,w) of each; `report` follows."""
        ...


@dataclass(frozen=True)
class Segmented:
    """A frame whose masks are asked of the device, and may still be in the making.

    Attributes:
        ids: waits for the masks and gives the object ids (H, W), uint8, or uint16 where the video has one above 255;
            raises InputError where a probability is not finite.
        probabilities: (K+1,H,W) that the ids are the arg max of.
        objects: their rows behind the background.
        report: of the core.
    """

    ids: Callable[[], np.ndarray]
    probabilities: Tensor
    objects: tuple[int, ...] = ()
    report: object = None


@dataclass(frozen=True)
class Engine:
    """What segments frames.

    Attributes:
        new_core: gives a fresh core for a video.
        device: where it works.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        frame_batch: most frames that the core is given at a time.
        ahead: frames that are asked of the device before the masks of an earlier one are waited for; if there are any,
            the image behind them is encoded beside them.
        count_compiled: how many graphs have been compiled so far.
    """

    new_core: Callable[[Video], Core]
    device: torch.device
    amp: str = "off"
    frame_batch: int = 1
    ahead: int = 0
    count_compiled: Callable[[], int] = int

    def segment(
        self, core: Core, frames: Sequence[Frame], video: Video, coming: Sequence[Frame] = ()
    ) -> Iterator[Segmented]:
        """Each frame's masks in the size of the video's results.

        Args:
            core: the core.
            frames: the next frames, from `batches`; several are without given masks.
            video: the video.
            coming: the frames behind them.
        """
        if len(coming) == 1 and coming[0].mask is None:
            # By itself: within autocast, weights that were cast in one stream must not be used in another.
            with torch.inference_mode(), autocast(self.device, self.amp):
                core.prepare(coming[0].image)
        with torch.inference_mode(), autocast(self.device, self.amp):
            if len(frames) > 1:
                found = core.steps(torch.stack([frame.image for frame in frames]))
            else:
                found = iter([self._step(core, frames[0])])
        for frame in frames:
            with torch.inference_mode():
                with autocast(self.device, self.amp):
                    probabilities = next(found).float()
                probabilities = video.restore(probabilities)
                labels = most_likely(probabilities)
                labels = from_device(labels.to(torch.uint8) if len(probabilities) <= 256 else labels)
                total = from_device(probabilities.sum())
                place = f"frame {frame.name} of {video.name}"
            ids = np.array((0, *core.objects), np.uint8 if max(video.objects) <= 255 else np.uint16)
            yield Segmented(partial(_ids_of, ids, labels, total, place), probabilities, core.objects, core.report)

    def _step(self, core: Core, frame: Frame) -> Tensor:
        mask = None if frame.mask is None else to_device(frame.mask, self.device)
        return core.step(frame.image, mask, frame.objects or None)

    def batches(self, frames: Iterator[Frame]) -> Iterator[list[Frame]]:
        """Frames in batches, their images on the device; one with a mask comes alone."""
        batch: list[Frame] = []
        for frame in frames:
            frame = replace(frame, image=to_device(frame.image, self.device))
            if frame.mask is not None:
                yield from [batch] if batch else []
                batch = []
            batch.append(frame)
            if frame.mask is not None or len(batch) == self.frame_batch:
                yield batch
                batch = []
        if batch:
            yield batch


def _ids_of(ids: np.ndarray, labels: Callable[[], Tensor], total: Callable[[], Tensor], place: str) -> np.ndarray:
    if not math.isfinite(total().item()):
        raise InputError(f"the probabilities in {place} are not finite; check the weights, or use --amp off")
    return ids[labels().numpy()]
