"""Atrous spatial pyramid pooling (Chen et al., DeepLabv3, 2017)."""

import torch
from torch import Tensor, nn

from model.layers.blocks import object_conv


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLabv3): dilations 1, 6, 12, 18 and the mean of the map.

    The published code's dropout is left out: it never was active.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_bn_relu(in_channels, width, 1)]
            + [conv_bn_relu(in_channels, width, 3, dilation) for dilation in (6, 12, 18)]
        )
        self.pooled = conv_bn_relu(in_channels, width, 1)
        self.fuse = conv_bn_relu(5 * width, out_channels, 1)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """Input (N,C,h,w), or the objects' own half of it beside the shared one, see `object_conv` -> (N,O,h,w)."""
        means = [None if half is None else half.mean((2, 3), keepdim=True) for half in (x, shared)]
        pooled = _run(self.pooled, *means).expand(-1, -1, *x.shape[-2:])
        return self.fuse(torch.cat([*(_run(branch, x, shared) for branch in self.branches), pooled], 1))


def _run(branch: nn.Sequential, own: Tensor, shared: Tensor | None) -> Tensor:
    conv, *others = branch
    x = object_conv(conv, own, shared)
    for layer in others:
        x = layer(x)
    return x


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch-norm, ReLU.

    Only the centre of a kernel starts with weights: the arms of a large dilation lie outside small training crops
    and must not add untrained noise on larger frames.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
    nn.init.zeros_(conv.weight)
    centre = conv.weight[:, :, kernel // 2, kernel // 2]
    nn.init.normal_(centre, std=(2 / in_channels) ** 0.5)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
