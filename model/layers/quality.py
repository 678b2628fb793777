"""The mask-quality scorer: predicts the IoU of a mask from the memory feature (QDMN, ECCV 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID = 24  # cells of the published training crops, 384 pixels high and wide
EVIDENCE = 12.0  # scores between 6e-6 and 1 - 6e-6


class QualityScorer(nn.Module):
    """Four convolutions and two fully connected layers on a memory feature.

    The published scorer rectifies both fully connected layers (`relu`); once its last pre-activation is
    negative for every input the score is 0 for good, since no gradient flows. The `sigmoid` form cannot get
    stuck: its rectifiers leak, and its evidence is kept within +-EVIDENCE, where a sigmoid still has a slope,
    by a clamp that lets the gradient pass. Train it with `losses.divergence`, whose gradient does not fade.

    Args:
        channels: channels of the memory feature.
        activation: `sigmoid`, scores in (0, 1), or `relu`, scores in [0, inf), for published weights.

    Raises:
        ValueError: there is no such activation.
    """

    def __init__(self, channels: int, *, activation: str = "sigmoid") -> None:
        super().__init__()
        if activation not in ("sigmoid", "relu"):
            raise ValueError(f"activation is {activation!r}; it must be 'sigmoid' or 'relu'")
        self.activation = activation
        width = channels // 4
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.conv4 = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.fc1 = nn.Linear(width * (GRID // 2) ** 2, channels)
        self.fc2 = nn.Linear(channels, 1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.get_parameter("bias"))
        for fc in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(fc.weight, a=1)
            nn.init.zeros_(fc.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Memory feature (N,C,h,w), resized to 24x24 -> score (N,)."""
        x = F.interpolate(feature, size=(GRID, GRID), mode="bilinear", align_corners=False)
        silent_below_zero = self.activation == "relu"
        rectify = F.relu if silent_below_zero else F.leaky_relu
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = rectify(conv(x))
        x = self.fc2(rectify(self.fc1(x.flatten(1)))).squeeze(1)
        if silent_below_zero:
            return F.relu(x)
        evidence = x.float()
        return torch.sigmoid(evidence + (evidence.clamp(-EVIDENCE, EVIDENCE) - evidence).detach())
