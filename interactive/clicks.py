"""Masks of what was said about objects on a frame, by the network for clicks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import RLock

import numpy as np
import torch
import torch.nn.functional as F

from datasets.test.sizing import Sizing
from interactive.prompts import Prompt, scaled
from model.interactive import ClickFeatures, ClickNetwork, render_prompts
from util.device import autocast

ENCODED = 3  # frames whose features are kept


class PromptSegmenter:
    """Turns what was said about an object on a frame into its mask; may be asked by several threads.

    The features of the frames that were asked for last are kept.

    Args:
        network: on its device.
        read: position of a frame -> RGB (H,W,3) uint8.
        sizing: in which size the network sees the frames.
        device: of the network.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
    """

    def __init__(
        self,
        network: ClickNetwork,
        read: Callable[[int], np.ndarray],
        sizing: Sizing,
        *,
        device: torch.device,
        amp: str = "off",
    ) -> None:
        self._network, self._read, self._sizing = network, read, sizing
        self._device, self._amp = device, amp
        self._features: OrderedDict[int, ClickFeatures] = OrderedDict()
        self._lock = RLock()

    def encode(self, index: int) -> ClickFeatures:
        """What all prompts on a frame share.

        Raises:
            InputError: the frame cannot be read.
        """
        with self._lock:
            if index not in self._features:
                image = self._sizing.image(self._read(index), self._device)
                with torch.inference_mode(), autocast(self._device, self._amp):
                    self._features[index] = self._network.encode(image[None])
                while len(self._features) > ENCODED:
                    self._features.popitem(last=False)
            self._features.move_to_end(index)
            return self._features[index]

    @torch.inference_mode()
    def segment(self, features: ClickFeatures, prompts: Sequence[Prompt], before: np.ndarray) -> np.ndarray:
        """The mask that prompts ask for.

        Args:
            features: from `encode`.
            prompts: all that was said about the object on the frame, in pixels of the frame.
            before: (H,W) bool, the object's mask so far, of the frame's size.

        Returns:
            (H,W) bool.
        """
        (height, width), (frame_height, frame_width) = features.size, before.shape
        planes = render_prompts(scaled(prompts, width / frame_width, height / frame_height), features.size)
        with autocast(self._device, self._amp):
            mask = torch.from_numpy(before).to(self._device).float()[None, None]
            previous = F.interpolate(mask, features.size, mode="area") if before.any() else None
            logits = self._network.segment(features, planes.to(self._device), previous).float()
            logits = F.interpolate(logits, before.shape, mode="bilinear", align_corners=False)
            return (logits[0, 0] > 0).cpu().numpy()
