"""The prior mask enhancement (QDMN, ECCV 2022, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PriorGate(nn.Conv2d):
    """Weakens a frame's feature where no object was on the previous frame.

    Starts by brightening where objects were last seen.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels + 1, 1, 3, padding=1)
        with torch.no_grad():
            self.weight[:, -1] = 0
            self.weight[:, -1, 1, 1] = 2

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """Feature (B,C,h,w), prior (B,1,H,W) in [0, 1] -> gated feature (B,C,h,w)."""
        return feature * torch.sigmoid(self.logits(feature, prior))

    def logits(self, feature: Tensor, prior: Tensor) -> Tensor:
        """The gate (B,1,h,w) before its sigmoid."""
        prior = F.interpolate(prior, size=feature.shape[-2:], mode="bilinear", align_corners=False)
        return super().forward(torch.cat([feature, prior], 1))
