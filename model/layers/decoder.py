"""From object features at stride 16 to mask logits, and from masks to a distribution over objects (STM, ICCV 2019)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.convolution import object_conv

CELL = 16  # pixels in a row of a cell
OUTSIDE = -16.0  # the logit outside a window: a probability of about EPSILON
EPSILON = 1e-7  # as published: probabilities are kept this far from 0 and 1


class ResidualBlock(nn.Module):
    """Pre-activation residual block without batch-norm: x + conv(relu(conv(relu(x))))."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """Input (N,C,h,w), or the objects' own half of it and the shared one, as in `object_conv` -> (N,O,h,w)."""
        if shared is None:
            return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))
        inner = object_conv(self.conv1, F.relu(x), F.relu(shared))
        return object_conv(self.shortcut, x, shared) + self.conv2(F.relu(inner))


class Refine(nn.Module):
    """Doubles the resolution of per-object features with the help of the frame's skip feature.

    The skip branch depends on the frame alone, so it runs once and is broadcast over the objects.

    Args:
        skip_channels, in_channels, out_channels: of the skip feature, of the object features, and of the result.
        deep_skip: whether the skip branch has a residual block.
    """

    def __init__(self, skip_channels: int, in_channels: int, out_channels: int, *, deep_skip: bool = True) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, in_channels, 3, padding=1)
        self.skip_block = ResidualBlock(in_channels, in_channels) if deep_skip else nn.Identity()
        self.out_block = ResidualBlock(in_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Objects x (B*K,C,h,w), skip feature (B,S,2h,2w) -> (B*K,O,2h,2w)."""
        skip = self.skip_block(self.skip_conv(skip))
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        x = x.unflatten(0, (skip.shape[0], -1)) + skip.unsqueeze(1)
        return self.out_block(x.flatten(0, 1))


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


class MaskDecoder(nn.Module):
    """Stride-16 object features -> one mask logit per pixel (STM).

    Args:
        in_channels: of the object features.
        f8_channels, f4_channels: of the frame's features at strides 8 and 4.
        width: channels at stride 16; behind it half as many.
        deep_skip: whether the branches of the frame's features have a residual block; those of STCN have none.
    """

    def __init__(
        self, in_channels: int, f8_channels: int, f4_channels: int, width: int, *, deep_skip: bool = True
    ) -> None:
        super().__init__()
        self.compress = ResidualBlock(in_channels, width)
        self.up_16_8 = Refine(f8_channels, width, width // 2, deep_skip=deep_skip)
        self.up_8_4 = Refine(f4_channels, width // 2, width // 2, deep_skip=deep_skip)
        self.predict = nn.Conv2d(width // 2, 1, 3, padding=1)

    def forward(
        self, x: Tensor, f8: Tensor, f4: Tensor, shared: Tensor | None = None, window: Window | None = None
    ) -> Tensor:
        """Decode objects.

        Args:
            x: (B*K,C,h,w).
            f8, f4: frame features (B,..,2h,2w) and (B,..,4h,4w).
            shared: the last of the C channels, where they are the same for all objects of a frame, (B,S,h,w).
            window: decode this part only; elsewhere logits are `OUTSIDE`.

        Returns:
            Logits (B*K,1,16h,16w).
        """
        x = self.compress(x, shared)
        height, width = x.shape[-2:]
        if window is not None:
            x, f8, f4 = window.crop(x), window.crop(f8, 2), window.crop(f4, 4)
        logits = self.upsample(x, f8, f4)
        return logits if window is None else window.paste(logits, (height, width), CELL, OUTSIDE)

    def upsample(self, x: Tensor, f8: Tensor, f4: Tensor) -> Tensor:
        """Objects (B*K,C,h,w), frame features (B,..,2h,2w) and (B,..,4h,4w) -> logits (B*K,1,16h,16w)."""
        x = self.up_8_4(self.up_16_8(x, f8), f4)
        return F.interpolate(self.predict(F.relu(x)), scale_factor=4, mode="bilinear", align_corners=False)


def soft_aggregate(probabilities: Tensor) -> Tensor:
    """Independent object probabilities -> logits over background and objects.

    The background is where no object is: p_0 = prod_k (1 - p_k). A softmax over the returned logits gives
    probabilities that sum to one.

    Args:
        probabilities: (B,K,H,W) in [0, 1].

    Returns:
        Logits (B,K+1,H,W), float32; row 0 is the background.
    """
    objects = probabilities.float()
    background = torch.prod(1 - objects, dim=1, keepdim=True)
    everything = torch.cat([background, objects], 1).clamp(EPSILON, 1 - EPSILON)
    return torch.log(everything / (1 - everything))
