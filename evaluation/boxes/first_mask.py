"""A mask of a box, by the network that turns clicks, strokes and boxes into masks."""

from pathlib import Path

import cv2
import numpy as np
import torch

from evaluation.interactive import ByNetwork
from model.interactive import Box
from model.weights.checkpoint import load_click_network, load_network

SEEN = 480  # pixels of the longer side of what the network sees


class NetworkCut:
    """Finds the object in a box (`datasets.boxes.boxes.Cut`).

    The network sees the box with as much around it on each side as the box is wide and high, so that small objects are
    seen large.

    Args:
        model: file of a network for clicks.
        trunk: file of the network whose image encoder it was trained for.
        device: where to compute.
        amp: one of `AUTOCAST`.

    Raises:
        InputError: a file cannot be used, or they do not belong together.
    """

    def __init__(self, model: Path, trunk: Path, device: torch.device, amp: str = "off") -> None:
        self._network = ByNetwork(load_click_network(model, load_network(trunk, device).query_encoder), amp)

    def __call__(self, pixels: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
        """RGB (H,W,3) uint8 and the filled box (H,W) bool -> what is the object (H,W) bool."""
        left, top, width, height = cv2.boundingRect(rectangle.view(np.uint8))
        x, y = max(0, left - width), max(0, top - height)
        part = pixels[y : top + 2 * height, x : left + 2 * width]
        scale = SEEN / max(part.shape[:2])
        size = [max(1, round(side * scale)) for side in part.shape[1::-1]]
        self._network.begin(cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
        corners = [scale * place for place in (left - x, top - y, left - x + width, top - y + height)]
        probabilities = self._network.segment([Box(*corners)], None)
        found = np.zeros_like(rectangle)
        found[y : top + 2 * height, x : left + 2 * width] = cv2.resize(probabilities, part.shape[1::-1]) > 0.5
        return found
