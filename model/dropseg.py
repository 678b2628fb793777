"""DropSeg: one transformer attends to a memory frame and the query together (DropMAE, CVPR 2023)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.layers.decoder import MaskDecoder, Window
from model.layers.quality import QualityScorer
from model.layers.vit import NORM_EPS, PATCH, PRETRAINED_GRID, ViTEncoder, grid_tokens, resize_grid, sincos_grid
from model.memory.read import Memory, MemoryEntry, MemoryReader
from model.memory_network import MemoryNetwork

F8_CHANNELS = 512
F4_CHANNELS = 256


class QueryTokens(NamedTuple):
    """A frame to be segmented as tokens (B,h*w,D), and its grid (h, w)."""

    tokens: Tensor
    grid: tuple[int, int]


class DropSeg(MemoryNetwork[QueryTokens]):
    """A vision transformer over the tokens of memory frames and query, object by object. The prior is not used.

    A memory entry holds tokens: its keys have no channels. Objects do not see each other before the aggregation.

    Args:
        backbone: one of `model.layers.vit.SIZES`; `vit_b16` is published.
        image_size: side of the square pictures that it learns from, in pixels; sets the stored position grid.
        drop_path: rate of stochastic depth of the encoder's last block; it rises linearly from 0. Active in training.
        quality_head: add QDMN's scorer, on the tokens of frame and mask, so that the quality-gated memory works.
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)).
    """

    arch = "dropseg"
    policy = "annotated"
    keeps_previous = False
    query_encoder: ViTEncoder
    pretrained_positions: Tensor
    positions: Tensor

    def __init__(
        self,
        *,
        backbone: str = "vit_b16",
        image_size: int = 384,
        drop_path: float = 0.1,
        quality_head: bool = False,
        score_activation: str = "sigmoid",
    ) -> None:
        super().__init__()
        self.options = {
            "backbone": backbone,
            "image_size": image_size,
            "drop_path": drop_path,
            "quality_head": quality_head,
            "score_activation": score_activation,
        }
        self.query_encoder = ViTEncoder(backbone, drop_path=drop_path)
        width = self.query_encoder.width
        self.mask_embed = nn.Conv2d(1, width, PATCH, PATCH)
        side = image_size // PATCH
        self.register_buffer("pretrained_positions", sincos_grid(width, PRETRAINED_GRID))
        self.register_buffer("positions", resize_grid(self.pretrained_positions, (side, side)))
        self.up8 = nn.ConvTranspose2d(width, F8_CHANNELS, 2, 2)
        self.up4 = UpFour(width)
        self.decoder = MaskDecoder(width, F8_CHANNELS, F4_CHANNELS, F8_CHANNELS, deep_skip=False)
        self.quality_scorer = QualityScorer(width, activation=score_activation) if quality_head else None

    @property
    def memory_channels(self) -> int:
        return self.query_encoder.width

    def encode_image(self, image: Tensor) -> tuple[Tensor, ...]:
        """Frame (B,3,H,W) -> tokens (B,h*w,D), without position and role."""
        return (self.query_encoder.tokens(image),)

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryTokens:
        """Tokens (B,h*w,D), and the prior for its size -> query."""
        (tokens,) = features
        grid = _grid(prior)
        return QueryTokens(tokens + self.query_encoder.query_role + self._position_tokens(grid), grid)

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryTokens | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Frame and masks -> tokens of the frame with each object's mask, as values, and quality."""
        batch = len(masks)
        grid = _grid(image)
        mask_map = self.mask_embed(masks.flatten(0, 1).unsqueeze(1).to(image.dtype))
        seen = self.query_encoder.tokens(image)[:, None] + mask_map.flatten(2).transpose(1, 2).unflatten(0, (batch, -1))
        quality = None
        if scored:
            quality = self.score(seen.flatten(0, 1).transpose(1, 2).unflatten(2, grid), batch)
        tokens = seen + self.query_encoder.memory_role + self._position_tokens(grid)
        return MemoryEntry(tokens[..., :0], tokens, quality)

    def read(self, query: QueryTokens, memory: Memory | Sequence[Memory], reader: MemoryReader) -> Tensor:
        """Feature (B,K,D,h,w) of the query for each object.

        The batch of the memory may be 1: then all queries share it.
        """
        memories = [memory] if isinstance(memory, Memory) else memory
        batch = len(query.tokens)
        parts = []
        for part in memories:
            objects = part.value.shape[1]
            remembered = part.value.expand(batch, -1, -1, -1).flatten(0, 1)
            asked = query.tokens.unsqueeze(1).expand(-1, objects, -1, -1).flatten(0, 1)
            feature = self.query_encoder(remembered, asked)
            parts.append(feature.transpose(1, 2).unflatten(2, query.grid).unflatten(0, (batch, objects)))
        return torch.cat(parts, 1)

    def decode(self, query: QueryTokens, readout: Tensor, window: Window | None = None) -> Tensor:
        """Feature (B,K,D,h,w) -> logits (B,K,H,W); every object has skip features of its own."""
        self._refuse_window(window)
        f16 = readout.flatten(0, 1)
        return self.decoder(f16, self.up8(f16), self.up4(f16)).squeeze(1).unflatten(0, readout.shape[:2])

    def _position_tokens(self, grid: tuple[int, int]) -> Tensor:
        return grid_tokens(resize_grid(self.positions, grid))


class UpFour(nn.Module):
    """Stride-16 features (B,C,h,w) -> stride 4, (B,256,4h,4w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(width, width, 2, 2)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.second = nn.ConvTranspose2d(width, F4_CHANNELS, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.second(nn.functional.gelu(x))


def _grid(image: Tensor) -> tuple[int, int]:
    """Patches in a column and in a row of an image (...,H,W)."""
    return image.shape[-2] // PATCH, image.shape[-1] // PATCH
