"""Vision transformer over the tokens of several frames (ViT, ICLR 2021), and the positions of MAE (CVPR 2022)."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PATCH = 16
PRETRAINED_GRID = 14  # patches in a row of the 224 pixels that MAE and DropMAE learn from
NORM_EPS = 1e-6  # as published


class ViTSize(NamedTuple):
    """Channels, heads and blocks."""

    width: int
    heads: int
    depth: int


SIZES = {"vit_b16": ViTSize(768, 12, 12), "vit_s16": ViTSize(384, 6, 12), "vit_ti16": ViTSize(192, 3, 12)}


class ViTEncoder(nn.Module):
    """Patches of 16x16 pixels, a position grid that all frames share, one embedding for each role of a frame, blocks.

    Args:
        size: one of `SIZES`.
        drop_path: rate of stochastic depth of the last block; it rises linearly from 0. Active in training.
        checkpoint_activations: compute each block again in the backward pass instead of keeping what it needs.

    Raises:
        ValueError: there is no such size.
    """

    width: int

    def __init__(self, size: str = "vit_b16", *, drop_path: float = 0.0, checkpoint_activations: bool = False) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"there is no vision transformer {size!r}; choose one of {', '.join(SIZES)}")
        width, heads, depth = SIZES[size]
        self.width = width
        self.checkpoint_activations = checkpoint_activations
        self.patch_embed = nn.Conv2d(3, width, PATCH, PATCH)
        self.query_role = nn.Parameter(torch.zeros(1, 1, width))
        self.memory_role = nn.Parameter(torch.zeros(1, 1, width))
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(width, heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        first_weights(self, (self.query_role, self.memory_role))
        nn.init.xavier_uniform_(self.patch_embed.weight.flatten(1))

    def tokens(self, image: Tensor) -> Tensor:
        """Image (B,3,H,W) -> patches (B,h*w,D), row by row, without position and role."""
        return self.patch_embed(image).flatten(2).transpose(1, 2)

    def forward(self, memory: Tensor, query: Tensor) -> Tensor:
        """Tokens of memory frames (B,N,D) and of a query (B,n,D) attend to each other; the query's are returned."""
        count = query.shape[1]
        x = torch.cat([memory, query], 1)
        for block in self.blocks[:-1]:
            x = self._run(block, x, x.shape[1])
        return self.norm(self._run(self.blocks[-1], x, count))

    def encode(self, x: Tensor) -> Tensor:
        """Tokens (B,n,D) of any frames -> (B,n,D)."""
        for block in self.blocks:
            x = self._run(block, x, x.shape[1])
        return self.norm(x)

    def _run(self, block: nn.Module, x: Tensor, last: int) -> Tensor:
        return run_block(block, x, last, recompute=self.checkpoint_activations)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then two fully connected layers, each added to its input.

    Args:
        width, heads: of the tokens and of the attention.
        drop_path: rate of stochastic depth.
        attention: another attention than `Attention`.
    """

    def __init__(self, width: int, heads: int, drop_path: float = 0.0, attention: "Attention | None" = None) -> None:
        from torchvision.ops import StochasticDepth  # torchvision takes as long to import as torch itself

        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = Attention(width, heads) if attention is None else attention
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor, last: int) -> Tensor:
        """Tokens (B,n,D) -> the last of them, (B,last,D), that all have attended to."""
        return self.transform(x[:, -last:] + self.drop_path(self.attention(self.norm1(x), last)))

    def transform(self, x: Tensor) -> Tensor:
        """The second half of the block, token by token."""
        return x + self.drop_path(self.contract(F.gelu(self.expand(self.norm2(x)))))


class Attention(nn.Module):
    """Multi-head self-attention, fused."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, last: int) -> Tensor:
        """Tokens (B,n,D) -> (B,last,D), what the last ones read from all."""
        query, key, value = self.split(x)
        return self.read(query[:, :, -last:], key, value)

    def read(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What queries (B,heads,m,D/heads) read from n keys and values -> (B,m,D)."""
        return self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B,n,D) -> queries, keys, values (B,heads,n,D/heads)."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def run_block(block: nn.Module, x: Tensor, last: int, *, recompute: bool) -> Tensor:
    """What `block` makes of tokens; `recompute`: its activations are computed again in the backward pass."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, x, last, use_reentrant=False)
    return block(x, last)


def first_weights(module: nn.Module, embeddings: Iterable[nn.Parameter]) -> None:
    """Weights to begin with, as MAE: Glorot's for the fully connected layers of a module, small ones for embeddings."""
    for embedding in embeddings:
        nn.init.normal_(embedding, std=0.02)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def backbone_of(width: int) -> str:
    """The name in `SIZES` of the transformer with so many channels.

    Raises:
        ValueError: there is none.
    """
    for name, size in SIZES.items():
        if size.width == width:
            return name
    raise ValueError(f"{width} channels are those of no known vision transformer")


def sincos_grid(width: int, side: int) -> Tensor:
    """Fixed positions (1,D,side,side): sines and cosines of the column in the first half of D, of the row in the other.

    The layout is that of MAE.
    """
    frequency = 10000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency
    code = torch.cat([angle.sin(), angle.cos()], 1).T
    columns, rows = code[:, None, :].expand(-1, side, -1), code[:, :, None].expand(-1, -1, side)
    return torch.cat([columns, rows])[None].float()


def resize_grid(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Positions (1,D,h,w) for another grid, bicubic as published."""
    return F.interpolate(grid, size=tuple(size), mode="bicubic", align_corners=False)


def grid_tokens(grid: Tensor) -> Tensor:
    """Positions (1,D,h,w) -> (1,h*w,D)."""
    return grid.flatten(2).transpose(1, 2)
