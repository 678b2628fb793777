"""Soft aggregation of object probabilities (STM, ICCV 2019)."""

import torch
from torch import Tensor

EPSILON = 1e-7


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
