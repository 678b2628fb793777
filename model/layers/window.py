"""A part of a frame, of which alone a network may make masks."""

from typing import NamedTuple

from torch import Tensor

CELL = 16


class Window(NamedTuple):
    """A part of a frame, in cells of 16x16 pixels; the last row and column are outside."""

    top: int
    left: int
    bottom: int
    right: int

    def crop(self, maps: Tensor, scale: int = 1) -> Tensor:
        """The part of maps (...,h*scale,w*scale)."""
        rows = slice(self.top * scale, self.bottom * scale)
        return maps[..., rows, self.left * scale : self.right * scale]

    def paste(self, part: Tensor, size: tuple[int, int], scale: int, outside: float) -> Tensor:
        """Maps of h x w cells that hold a part made for the window, and a constant outside."""
        whole = part.new_full((*part.shape[:-2], size[0] * scale, size[1] * scale), outside)
        self.crop(whole, scale).copy_(part)
        return whole
