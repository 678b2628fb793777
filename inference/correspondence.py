"""Dense correspondences between two frames, from the keys of a network that reads a memory (MiVOS, CVPR 2021).

A cell is 16 x 16 pixels of a frame that is padded to whole cells; C h w are channels and cells, n = h * w.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.memory.read import Memory, MemoryReader
from model.memory_network import AffinityNetwork
from util.tensors import Padding, one_hot, pad_to_multiple, unpad

STRIDE = 16

Point = tuple[int, int]


class Correspondence:
    """Carries maps, points and objects of a source frame over to a target frame.

    Every cell of the target takes the mean of the source's features, weighted by the softmax of its affinity with the
    source's cells. Keys that see masks see empty ones. Both frames are encoded once.

    Args:
        network: in evaluation mode.
        source, target: frames (1,3,H,W) of one size, normalised, on the network's device.
        top_k: most similar source cells that count; None for all.
    """

    @torch.inference_mode()
    def __init__(self, network: AffinityNetwork, source: Tensor, target: Tensor, *, top_k: int | None = None) -> None:
        self._size = (source.shape[-2], source.shape[-1])
        source, self._padding = pad_to_multiple(source, STRIDE)
        target, _ = pad_to_multiple(target, STRIDE)
        self._cells = (source.shape[-2] // STRIDE, source.shape[-1] // STRIDE)
        empty = torch.zeros_like(source[:, :1])
        self._memory_key = network.encode_memory(source, empty).key
        self._query_key = network.encode_query(target, torch.ones_like(empty)).key
        self._reader = MemoryReader(top_k=top_k, similarity=network.similarity)

    @torch.inference_mode()
    def transfer(self, features: Tensor) -> Tensor:
        """Features (1,C,h,w) of the source's cells, such as a mask -> (1,C,h,w) of the target's cells."""
        values = features.flatten(2).transpose(1, 2).unsqueeze(1).to(self._memory_key.device)
        return self._reader(Memory(self._memory_key, values), self._query_key).squeeze(1)

    def weights(self) -> Tensor:
        """Shares of the source cells in the target cells, (1,n,n); each column, of a target cell, sums to one."""
        height, width = self._cells
        cells = torch.eye(height * width).unflatten(1, (height, width)).unsqueeze(0)
        return self.transfer(cells).flatten(2)

    def carry_points(self, points: Sequence[Point]) -> Tensor:
        """Shares (P,h,w) that the target's cells owe to the cells of points (x, y) of the source; on the CPU."""
        return self.transfer(cells_of_points(points, self._size, self._padding)[None])[0].cpu()

    def find_points(self, shares: Tensor) -> list[Point]:
        """The strongest place (x, y) in the target for each map of `carry_points`."""
        return [strongest_point(cells, self._size, self._padding) for cells in shares]

    def carry_ids(self, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Object ids (H, W), uint8, of the source -> those of the target, uint8, in the size (height, width)."""
        labels = [0, *np.unique(ids[ids > 0]).tolist()]
        shares = F.avg_pool2d(pad_to_multiple(one_hot(ids, labels[1:]), STRIDE)[0], STRIDE)
        shares = self.transfer(torch.cat([1 - shares.sum(0, keepdim=True), shares])[None])[0].cpu()
        pixels = F.interpolate(self.to_pixels(shares)[None], size, mode="bilinear", align_corners=False)[0]
        return np.array(labels, np.uint8)[pixels.argmax(0).numpy()]

    def to_pixels(self, cells: Tensor) -> Tensor:
        """Maps (C,h,w) of cells -> (C,H,W) of pixels, bilinear."""
        return to_pixels(cells, self._padding)


def cells_of_points(points: Sequence[Point], size: Sequence[int], padding: Padding) -> Tensor:
    """One map for each point, 1 in the cell that holds it and else 0.

    Args:
        points: (x, y) in pixels of the frame before padding.
        size: height and width of the frame before padding, in pixels.
        padding: left, right, top and bottom, in pixels; with it the sides are whole cells.

    Returns:
        (P,h,w) float32.
    """
    left, right, top, bottom = padding
    maps = torch.zeros(len(points), (size[0] + top + bottom) // STRIDE, (size[1] + left + right) // STRIDE)
    for one, (x, y) in zip(maps, points, strict=True):
        one[(y + top) // STRIDE, (x + left) // STRIDE] = 1
    return maps


def to_pixels(cells: Tensor, padding: Padding) -> Tensor:
    """Maps (C,h,w) of cells -> (C,H,W) of pixels, bilinear, without the padding."""
    return unpad(F.interpolate(cells[None], scale_factor=STRIDE, mode="bilinear", align_corners=False)[0], padding)


def strongest_point(cells: Tensor, size: Sequence[int], padding: Padding) -> Point:
    """Centre (x, y) of the strongest cell of a map (h,w), in pixels of the frame before padding.

    Args:
        cells: the map.
        size: height and width of the frame before padding, in pixels.
        padding: left, right, top and bottom, in pixels.
    """
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    x = column * STRIDE + STRIDE // 2 - padding[0]
    y = row * STRIDE + STRIDE // 2 - padding[2]
    return min(max(x, 0), size[1] - 1), min(max(y, 0), size[0] - 1)
