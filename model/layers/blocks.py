"""Small layers that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.window import CELL, Window
from model.layers.winograd import WinogradConv2d

OUTSIDE = -16.0


def object_conv(conv: nn.Module, own: Tensor, shared: Tensor | None, *, shared_first: bool = False) -> Tensor:
    """A convolution of what each object has of its own beside what all objects of a frame share.

    A convolution is linear, so the shared half is computed once for all objects.

    Args:
        conv: its input channels are those of `own`, then those of `shared`; or nothing but `nn.Identity`.
        own: (B*K,C,h,w).
        shared: (B,S,h,w); None where all is in `own`.
        shared_first: the channels of `shared` come first.

    Returns:
        (B*K,O,h',w').
    """
    if shared is None:
        return conv(own)
    objects = len(own) // len(shared)
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
    weight = conv.weight[:, first : first + x.shape[1]]
    return F.conv2d(x, weight, conv.bias if biased else None, conv.stride, conv.padding, conv.dilation)


class ResidualBlock(nn.Module):
    """Pre-activation residual block without batch-norm: x + conv(relu(conv(relu(x))))."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """Input (N,C,h,w), or the objects' own half of it beside the shared one, see `object_conv` -> (N,O,h,w)."""
        if shared is None:
            return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))
        inner = object_conv(self.conv1, F.relu(x), F.relu(shared))
        return object_conv(self.shortcut, x, shared) + self.conv2(F.relu(inner))


class KeyValueProjection(nn.Module):
    """Key and value maps of a stride-16 feature (STM, ICCV 2019)."""

    def __init__(self, in_channels: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(in_channels, key_dim, 3, padding=1)
        self.value = nn.Conv2d(in_channels, value_dim, 3, padding=1)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Feature (B,C,h,w) -> key (B,Ck,h,w), value (B,Cv,h,w)."""
        return self.key(feature), self.value(feature)


class Refine(nn.Module):
    """Doubles the resolution of per-object features with the help of the frame's skip feature.

    The skip branch depends on the frame alone, so it runs once and is broadcast over the objects.
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


class MaskDecoder(nn.Module):
    """Stride-16 object features -> one mask logit per pixel (STM); skip branches of STCN have no residual block."""

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
        grid = tuple(x.shape[-2:])
        if window is not None:
            x, f8, f4 = window.crop(x), window.crop(f8, 2), window.crop(f4, 4)
        x = self.up_8_4(self.up_16_8(x, f8), f4)
        logits = F.interpolate(self.predict(F.relu(x)), scale_factor=4, mode="bilinear", align_corners=False)
        return logits if window is None else window.paste(logits, grid, CELL, OUTSIDE)
