"""Convolutions in less time, with the same result up to rounding.

What all objects of a frame share is convolved once (`object_conv`), and 3x3 convolutions take a quarter of the
multiplications (`WinogradConv2d`; Lavin and Gray, CVPR 2016).
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 4
REACH = TILE + 2
CHUNK = 1 << 16  # most tiles times channels at once; bounds the working memory

# F(4x4, 3x3): outputs of 4x4 from inputs of 6x6; transforms of input, filter and output.
INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
FILTER = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
OUTPUT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)


def object_conv(
    conv: nn.Module,
    own: Tensor,
    shared: Tensor | None,
    *,
    shared_first: bool = False,
) -> Tensor:
    """A convolution of what each object has of its own beside what all objects of a frame share.

    A convolution is linear, so the shared half is computed once for all objects.

    Args:
        conv: `nn.Conv2d`, `WinogradConv2d` or `nn.Identity`; its input channels are those of `own`, then of `shared`.
        own: (B*K,C,h,w).
        shared: (B,S,h,w); None where all is in `own`.
        shared_first: the channels of `shared` come first.

    Returns:
        (B*K,O,h',w').

    Raises:
        TypeError: `conv` is another module.
    """
    if shared is None:
        return conv(own)
    objects = own.shape[0] // shared.shape[0]
    if objects == 1 or isinstance(conv, nn.Identity):
        shared = shared.repeat_interleave(objects, 0)
        return conv(torch.cat([shared, own] if shared_first else [own, shared], 1))
    first_own, first_shared = (shared.shape[1], 0) if shared_first else (0, own.shape[1])
    once = _partial_conv(conv, shared, first_shared, biased=True).unsqueeze(1)
    each = _partial_conv(conv, own, first_own, biased=False)
    return (each.unflatten(0, (-1, objects)) + once).flatten(0, 1)


def _partial_conv(conv: nn.Module, x: Tensor, first: int, *, biased: bool) -> Tensor:
    """What the input channels from `first` on, x (N,c,H,W), contribute to a convolution."""
    if isinstance(conv, WinogradConv2d):
        return conv.part(x, first, biased=biased)
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{type(conv).__name__} is no convolution")
    weight = conv.weight[:, first : first + x.shape[1]]
    return F.conv2d(x, weight, conv.bias if biased else None, conv.stride, conv.padding, conv.dilation)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 that keeps the size, for inference in float32.

    Rounding errors are about four times those of a direct convolution. The filters take four times the memory.

    Args:
        conv: one for which `can_replace` holds.
    """

    filters: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        g = torch.tensor(FILTER, dtype=torch.float64, device=conv.weight.device)
        filters = torch.einsum("ij,ocjk,lk->ilco", g, conv.weight.detach().double(), g).flatten(0, 1)
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().clone()
        self.register_buffer("filters", filters.to(conv.weight.dtype).contiguous())
        self.register_buffer("bias", bias)

    @staticmethod
    def can_replace(module: nn.Module, least_channels: int = 0) -> TypeGuard[nn.Conv2d]:
        """Whether a module is such a convolution, of at least so many channels in and out."""
        return (
            isinstance(module, nn.Conv2d)
            and (module.kernel_size, module.stride, module.dilation) == ((3, 3), (1, 1), (1, 1))
            and module.padding == (1, 1)
            and module.groups == 1
            and min(module.in_channels, module.out_channels) >= least_channels
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,O,H,W), channels last."""
        return self.part(x, 0, biased=True)

    def part(self, x: Tensor, first: int, *, biased: bool) -> Tensor:
        """What some of the input channels contribute.

        Args:
            x: (N,c,H,W), the channels from `first` on.
            first: number of the first one.
            biased: with the bias.
        """
        filters = self.filters[:, first : first + x.shape[1]]
        done = torch.stack([_convolve(image, filters) for image in x.permute(0, 2, 3, 1)])
        return (done + self.bias if biased else done).permute(0, 3, 1, 2)


def _convolve(image: Tensor, filters: Tensor) -> Tensor:
    """Image (H,W,C), filters (36,C,O) -> (H,W,O), some rows of tiles at a time."""
    height, width, channels = image.shape
    outputs = filters.shape[2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = F.pad(image, (0, 0, 1, TILE * columns - width + 1, 1, TILE * rows - height + 1)).contiguous()
    result = image.new_empty(rows, TILE, columns, TILE, outputs)
    chunk = max(1, CHUNK // (columns * max(channels, outputs)))
    for start in range(0, rows, chunk):
        stop = min(rows, start + chunk)
        tiles = _input_tiles(padded[TILE * start : TILE * stop + 2], stop - start, columns)
        products = torch.bmm(tiles, filters)
        result[start:stop] = _output_tiles(products, stop - start, columns)
    return result.view(rows * TILE, columns * TILE, outputs)[:height, :width]


def _input_tiles(strip: Tensor, rows: int, columns: int) -> Tensor:
    """Rows (4*rows+2,W,C) -> transformed tiles (36,rows*columns,C)."""
    _, width, channels = strip.shape
    row = width * channels
    transform = strip.new_tensor(INPUT)
    along = strip.as_strided((rows, REACH, row), (TILE * row, row, 1), strip.storage_offset())
    along = torch.matmul(transform, along)
    across = along.as_strided((rows * REACH, columns, REACH, channels), (row, TILE * channels, channels, 1))
    tiles = torch.matmul(transform, across).view(rows, REACH, columns, REACH, channels)
    return tiles.permute(1, 3, 0, 2, 4).reshape(REACH * REACH, rows * columns, channels)


def _output_tiles(products: Tensor, rows: int, columns: int) -> Tensor:
    """Products (36,rows*columns,O) -> (rows,4,columns,4,O)."""
    outputs = products.shape[2]
    transform = products.new_tensor(OUTPUT)
    along = torch.matmul(transform, products.view(REACH, -1)).view(TILE, REACH, -1)
    across = torch.matmul(transform, along).view(TILE, TILE, rows, columns, outputs)
    return across.permute(2, 0, 3, 1, 4)
