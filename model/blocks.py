"""Small layers that several networks share."""

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Pre-activation residual block without batch-norm: x + conv(relu(conv(relu(x))))."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


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

    def forward(self, x: Tensor, f8: Tensor, f4: Tensor) -> Tensor:
        """Objects x (B*K,C,h,w), frame features f8 (B,..,2h,2w), f4 (B,..,4h,4w) -> logits (B*K,1,16h,16w)."""
        x = self.up_16_8(self.compress(x), f8)
        x = self.up_8_4(x, f4)
        return F.interpolate(self.predict(F.relu(x)), scale_factor=4, mode="bilinear", align_corners=False)
