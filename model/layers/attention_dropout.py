"""Spatial-attention dropout: tokens lose looks at their own frame, so that they use the other (DropMAE, CVPR 2023).

The tokens are those of one frame followed by those of another: 2n of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.layers.vit import Attention

FLOOR = 1e-6


class DroppedAttention(Attention):
    """Attention that loses a share of its entries within frames while it learns.

    Args:
        width, heads: see `Attention`.
        share: of the entries of a token's own frame; 0.1 is published.
    """

    def __init__(self, width: int, heads: int, share: float) -> None:
        super().__init__(width, heads)
        self.share = share

    def forward(self, x: Tensor, last: int) -> Tensor:
        """Tokens of both frames (B,2n,D) -> (B,last,D), what the last ones read from all."""
        query, key, value = self.split(x)
        kept = None
        if self.training and dropped_count(self.share, x.shape[1]):
            kept = ~self.draw(query, key)[..., -last:, :]
        out = F.scaled_dot_product_attention(query[:, :, -last:], key, value, attn_mask=kept)
        return self.project(out.transpose(1, 2).flatten(2))

    @torch.no_grad()
    def draw(self, query: Tensor, key: Tensor) -> Tensor:
        """Queries and keys (B,heads,2n,d) -> which entries to drop this time, (B,heads,2n,2n) bool."""
        logits = query @ (key.transpose(-2, -1) * query.shape[-1] ** -0.5)
        attention = logits.softmax(-1, dtype=torch.float32)
        return draw_dropped(drop_weights(attention), dropped_count(self.share, query.shape[2]))


def dropped_count(share: float, tokens: int) -> int:
    """How many entries of an attention over `tokens` tokens of two frames are dropped."""
    return int(share * (tokens // 2 - 1)) * tokens


def drop_weights(attention: Tensor) -> Tensor:
    """Weights by which the entries to drop are drawn: large where a token looks, and has a strong match elsewhere.

    Args:
        attention: (...,2n,2n) after the softmax.

    Returns:
        (...,2n,n): for each token those of its own frame, 0 for itself.
    """
    count = attention.shape[-1] // 2
    first, second = attention.split(count, -2)
    own = torch.cat([first[..., :count], second[..., count:]], -2)
    match = torch.cat([first[..., count:].amax(-1), second[..., :count].amax(-1)], -1).unsqueeze(-1)
    itself = torch.eye(count, dtype=torch.bool, device=attention.device).repeat(2, 1)
    own = (own + FLOOR).masked_fill_(itself, 0)
    return own / own.sum(-1, keepdim=True) * (match + FLOOR)


def draw_dropped(weights: Tensor, count: int) -> Tensor:
    """Draw entries within the frames, all rows together and without replacement.

    The largest of weight / exponential noise are such a draw (Gumbel's trick); entries of weight 0 come last.

    Args:
        weights: (...,2n,n), see `drop_weights`.
        count: of entries to draw from each 2n x n of them.

    Returns:
        (...,2n,2n) bool; nothing between the frames.
    """
    flat = weights.flatten(-2)
    noise = torch.empty_like(flat).exponential_().clamp_min_(torch.finfo(flat.dtype).tiny)
    chosen = noise.reciprocal_().mul_(flat).topk(count, sorted=False).indices
    drawn = torch.zeros_like(flat, dtype=torch.bool).scatter_(-1, chosen, True).view(weights.shape)
    first, second = drawn.chunk(2, -2)
    nothing = torch.zeros_like(first)
    return torch.cat([torch.cat([first, nothing], -1), torch.cat([nothing, second], -1)], -2)
