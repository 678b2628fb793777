"""DropMAE: two frames of a video, most patches hidden, are completed from what is left of both (CVPR 2023)."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.vit import (
    NORM_EPS,
    PATCH,
    Attention,
    Block,
    ViTEncoder,
    first_weights,
    grid_tokens,
    resize_grid,
    run_block,
    sincos_grid,
)

FRAMES = 2
PATCH_NUMBERS = 3 * PATCH**2
PATCH_EPS = 1e-6  # added to the variance of a patch, as published
ATTENTION_FLOOR = 1e-6  # added to attentions before they become weights, as published


class Completion(NamedTuple):
    """What came of hidden patches; the 2n patches are those of the earlier frame, then of the later one.

    Attributes:
        loss: mean squared error of the hidden patches.
        predicted: (B,2n,768), patches without mean and scale, as `normalised` makes them.
        hidden: (B,2n), bool.
    """

    loss: Tensor
    predicted: Tensor
    hidden: Tensor


class DropMAE(nn.Module):
    """Masked auto-encoder of two frames, to begin `DropSeg` with: its encoder is DropSeg's.

    Args:
        backbone: one of `model.layers.vit.SIZES`; `vit_b16` is published.
        image_size: side of the square frames, in pixels, a multiple of 16; sets the position grids.
        mask_ratio: share of the patches of both frames together that is hidden.
        attention_dropout: share of the entries within a frame that the decoder's attentions lose in training.
        decoder_width, decoder_depth, decoder_heads: of the decoder.
        checkpoint_activations: compute each block again in the backward pass instead of keeping what it needs.

    Raises:
        ValueError: there is no such backbone, or the decoder's width is no multiple of 4 and of its heads.
    """

    arch = "dropmae"
    size_multiple = PATCH
    options: dict[str, Any]
    positions: Tensor

    def __init__(
        self,
        *,
        backbone: str = "vit_b16",
        image_size: int = 224,
        mask_ratio: float = 0.75,
        attention_dropout: float = 0.1,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.options = {
            "backbone": backbone,
            "image_size": image_size,
            "mask_ratio": mask_ratio,
            "attention_dropout": attention_dropout,
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
        }
        self.mask_ratio = mask_ratio
        self.encoder = ViTEncoder(backbone, checkpoint_activations=checkpoint_activations)
        side = image_size // PATCH
        self.register_buffer("positions", sincos_grid(self.encoder.width, side))
        self.decoder = MAEDecoder(
            self.encoder.width,
            decoder_width,
            decoder_depth,
            decoder_heads,
            side,
            attention_dropout=attention_dropout,
            checkpoint_activations=checkpoint_activations,
        )

    def forward(self, frames: Tensor) -> Completion:
        """Hide patches of an earlier and a later frame, (B,2,3,H,W) normalised, and complete them."""
        grid = (frames.shape[-2] // PATCH, frames.shape[-1] // PATCH)
        tokens = FRAMES * grid[0] * grid[1]
        order = torch.rand(len(frames), tokens, device=frames.device).argsort(1)
        kept, rank = order[:, : self.kept_count(tokens)], order.argsort(1)
        predicted = self.decoder(self.encode(frames, kept), rank, grid).float()
        hidden = rank >= kept.shape[1]
        error = (predicted - normalised(patchify(frames))).square().mean(2)
        return Completion((error * hidden).sum() / hidden.sum(), predicted, hidden)

    def kept_count(self, tokens: int) -> int:
        """How many of so many patches stay visible."""
        return max(1, int(tokens * (1 - self.mask_ratio)))

    def encode(self, frames: Tensor, kept: Tensor) -> Tensor:
        """Frames (B,2,3,H,W) and the patches that stay visible, (B,k) of 0..2n-1 -> their features (B,k,D)."""
        encoder = self.encoder
        tokens = encoder.tokens(frames.flatten(0, 1)).unflatten(0, (-1, FRAMES))
        roles = torch.stack([encoder.query_role, encoder.memory_role], 1)
        grid = (frames.shape[-2] // PATCH, frames.shape[-1] // PATCH)
        tokens = tokens + roles + grid_tokens(resize_grid(self.positions, grid)).unsqueeze(1)
        return encoder.encode(_pick(tokens.flatten(1, 2), kept))

    @torch.no_grad()
    def pictures(self, frames: Tensor, completion: Completion) -> Tensor:
        """What to look at: the frames with hidden patches grey, the same completed, and as they are.

        A completed patch takes mean and scale, which are not predicted, from the true one.

        Args:
            frames: (B,2,3,H,W), normalised.
            completion: what `forward` made of them.

        Returns:
            (B,2,3,3,H,W): for each frame the three pictures, normalised.
        """
        true = patchify(frames)
        mean, scale = patch_statistics(true)
        hidden = completion.hidden.unsqueeze(2)
        shown = (true.masked_fill(hidden, 0), torch.where(hidden, completion.predicted * scale + mean, true), true)
        return torch.stack([unpatchify(kind, frames.shape) for kind in shown], 2)


class MAEDecoder(nn.Module):
    """Predicts the pixels of all patches from the features of the visible ones.

    Args:
        features: channels of the features.
        width, depth, heads: of the transformer.
        side: of the position grid.
        attention_dropout: share of the entries within a frame that the attentions lose in training.
        checkpoint_activations: compute each block again in the backward pass instead of keeping what it needs.

    Raises:
        ValueError: the width is no multiple of 4 and of the heads.
    """

    positions: Tensor

    def __init__(
        self,
        features: int,
        width: int,
        depth: int,
        heads: int,
        side: int,
        *,
        attention_dropout: float,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if width % 4 or width % heads:
            raise ValueError(f"a decoder {width} wide is not possible; give a multiple of 4 and of its {heads} heads")
        self.checkpoint_activations = checkpoint_activations
        self.embed = nn.Linear(features, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.earlier_role = nn.Parameter(torch.zeros(1, 1, width))
        self.later_role = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", sincos_grid(width, side))
        self.blocks = nn.ModuleList(
            Block(width, heads, attention=DroppedAttention(width, heads, attention_dropout)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.predict = nn.Linear(width, PATCH_NUMBERS)
        first_weights(self, (self.mask_token, self.earlier_role, self.later_role))

    def forward(self, features: Tensor, rank: Tensor, grid: tuple[int, int]) -> Tensor:
        """Complete two frames.

        Args:
            features: of the visible patches, (B,k,D).
            rank: of each patch, (B,2n); the one whose features are row r has rank r, hidden ones have k and more.
            grid: patches in a column and in a row of a frame, n in all.

        Returns:
            (B,2n,768).
        """
        x = self.embed(features)
        x = torch.cat([x, self.mask_token.to(x.dtype).expand(len(x), rank.shape[1] - x.shape[1], -1)], 1)
        roles = torch.stack([self.earlier_role, self.later_role], 1)
        x = _pick(x, rank).unflatten(1, (FRAMES, -1))
        x = (x + roles + grid_tokens(resize_grid(self.positions, grid)).unsqueeze(1)).flatten(1, 2)
        for block in self.blocks:
            x = run_block(block, x, x.shape[1], recompute=self.checkpoint_activations)
        return self.predict(self.norm(x))


class DroppedAttention(Attention):
    """Spatial-attention dropout: tokens lose looks at their own frame while they learn, so that they use the other.

    The tokens are those of one frame followed by those of another: 2n of them.

    Args:
        width, heads: of the tokens and of the attention.
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
    own = (own + ATTENTION_FLOOR).masked_fill_(itself, 0)
    return own / own.sum(-1, keepdim=True) * (match + ATTENTION_FLOOR)


def draw_dropped(weights: Tensor, count: int) -> Tensor:
    """Draw entries within the frames, all rows together and without replacement.

    The largest of weight / exponential noise are such a draw (Gumbel's trick); entries of weight 0 come last.

    Args:
        weights: (...,2n,n), from `drop_weights`.
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


def patchify(frames: Tensor) -> Tensor:
    """Frames (B,T,3,H,W) -> (B,T*h*w,768), row by row; a patch holds its pixels row by row, colours together."""
    rows = frames.unflatten(4, (-1, PATCH)).unflatten(3, (-1, PATCH))
    return rows.permute(0, 1, 3, 5, 4, 6, 2).flatten(4).flatten(1, 3)


def unpatchify(values: Tensor, shape: torch.Size) -> Tensor:
    """Undo `patchify`; `shape` is that of the frames."""
    batch, count, _, height, width = shape
    grid = values.view(batch, count, height // PATCH, width // PATCH, PATCH, PATCH, 3)
    return grid.permute(0, 1, 6, 2, 4, 3, 5).reshape(shape)


def patch_statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of each patch, (B,n,1); the variance is the unbiased one."""
    variance, mean = torch.var_mean(values, dim=2, keepdim=True)
    return mean, (variance + PATCH_EPS).sqrt()


def normalised(values: Tensor) -> Tensor:
    """Patches (B,n,768) without their mean and scale."""
    mean, scale = patch_statistics(values)
    return (values - mean) / scale


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (B,n,D) at the positions (B,m) -> (B,m,D)."""
    return tokens.gather(1, index.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
