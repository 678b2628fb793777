"""DropTrack: one transformer over template and search region finds a box, dropping background on the way.

DropMAE (CVPR 2023), section 3.4; the network is OSTrack's (ECCV 2022) with an embedding for each role of a frame.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.layers.vit import PATCH, PRETRAINED_GRID, Block, ViTEncoder, grid_tokens, resize_grid, sincos_grid

SCORE_FLOOR = 1e-4  # scores and sizes keep this distance from 0 and 1, as published
HEAD_LAYERS = 4  # 3x3 convolutions of a branch, each with half the channels of the one before


class Maps(NamedTuple):
    """What the head says of each cell of the search region.

    Attributes:
        score: likelihood (B,1,h,w) that the object's centre is in the cell, in (0, 1).
        size: width and height (B,2,h,w) of the object, in shares of the search region.
        offset: column and row (B,2,h,w) of its centre, in cells from the cell's corner.
    """

    score: Tensor
    size: Tensor
    offset: Tensor

    def boxes(self, window: Tensor | None = None) -> Tensor:
        """The box at the best cell, (B,4): centre x, y, width, height in shares of the search region.

        Args:
            window: weights (h,w) of the scores; None for none.
        """
        score = self.score if window is None else self.score * window
        height, width = score.shape[-2:]
        best = score.flatten(1).max(1).indices
        at_best = best[:, None, None].expand(-1, 2, 1)
        size, offset = (part.flatten(2).gather(2, at_best).squeeze(2).float() for part in (self.size, self.offset))
        cell = torch.stack([best % width, best // width], 1)
        return torch.cat([(cell + offset) / offset.new_tensor((width, height)), size], 1)


class Prediction(NamedTuple):
    """What the network makes of a template and a search region.

    Attributes:
        maps: of the head.
        boxes: see `Maps.boxes`.
        removed: search tokens that each eliminating block dropped, (B,r) of 0..h*w-1, r may be 0.
    """

    maps: Maps
    boxes: Tensor
    removed: tuple[Tensor, ...]


class DropTrack(nn.Module):
    """Finds an object, shown in a template, in a search region.

    Args:
        backbone: one of `model.layers.vit.SIZES`; `vit_b16` is published.
        template_size, search_size: sides of the square pictures in pixels, multiples of 16.
        elimination_blocks: numbers from 0 of the blocks that drop search tokens between attention and MLP.
        keep_rates: share of its search tokens that each of them keeps.
        ranking: which template tokens decide what is dropped, by how much they look at it: `centre` (CTR_POINT of the
            published code), `centre_square` (CTR_REC), `box` (GT_BOX, those given with each template) or `all`.
        drop_path: rate of stochastic depth of the last block; it rises linearly from 0. Active in training.
        head_channels: of the head's first layer.

    Raises:
        ValueError: there is no such backbone, or sizes, blocks, rates or ranking are not possible.
    """

    arch = "droptrack"
    size_multiple = PATCH
    options: dict[str, Any]
    ranking_tokens: Tensor

    def __init__(
        self,
        *,
        backbone: str = "vit_b16",
        template_size: int = 192,
        search_size: int = 384,
        elimination_blocks: Sequence[int] = (3, 6, 9),
        keep_rates: Sequence[float] = (0.7, 0.7, 0.7),
        ranking: str = "centre",
        drop_path: float = 0.1,
        head_channels: int = 256,
    ) -> None:
        super().__init__()
        self.options = {
            "backbone": backbone,
            "template_size": template_size,
            "search_size": search_size,
            "elimination_blocks": list(elimination_blocks),
            "keep_rates": list(keep_rates),
            "ranking": ranking,
            "drop_path": drop_path,
            "head_channels": head_channels,
        }
        if any(size < PATCH or size % PATCH for size in (template_size, search_size)):
            raise ValueError(f"template {template_size} and search {search_size} must be multiples of {PATCH} pixels")
        self.template_size, self.search_size = template_size, search_size
        self.encoder = ViTEncoder(backbone, drop_path=drop_path)
        _check_elimination(elimination_blocks, keep_rates, len(self.encoder.blocks))
        self.keep_rates = dict(zip(elimination_blocks, keep_rates, strict=True))
        self.ranking = ranking
        tokens = ranking_tokens("all" if ranking == "box" else ranking, template_size // PATCH)
        self.register_buffer("ranking_tokens", tokens, persistent=False)
        start = sincos_grid(self.encoder.width, PRETRAINED_GRID)
        self.template_positions = nn.Parameter(position_tokens(start, template_size))
        self.search_positions = nn.Parameter(position_tokens(start, search_size))
        self.head = CentreHead(self.encoder.width, head_channels)
        self._first_weights()

    def _first_weights(self) -> None:
        """As published, but for the positions, which are MAE's sines and cosines instead of noise."""
        for layer in self.encoder.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
        self.encoder.patch_embed.reset_parameters()
        nn.init.normal_(self.encoder.query_role)
        nn.init.normal_(self.encoder.memory_role)

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        template_mask: Tensor | None = None,
        keep_rate: float | None = None,
    ) -> Prediction:
        """Find the object of each template.

        Args:
            template: (B,3,T,T), normalised, around the object.
            search: (B,3,S,S), normalised, where to search.
            template_mask: the template tokens (B,n) that rank, bool, see `box_tokens`; only with `ranking="box"`.
            keep_rate: of all eliminating blocks, in place of the network's own; 1 drops nothing.
        """
        features, removed = self.encode(template, search, template_mask, keep_rate)
        side = search.shape[-1] // PATCH
        maps = self.head(features.transpose(1, 2).unflatten(2, (-1, side)))
        return Prediction(maps, maps.boxes(), removed)

    def encode(
        self,
        template: Tensor,
        search: Tensor,
        template_mask: Tensor | None = None,
        keep_rate: float | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features (B,h*w,D) of the search region, zeros where tokens were dropped, and what each block dropped."""
        encoder = self.encoder
        z = encoder.tokens(template) + self.template_positions + encoder.memory_role
        x = encoder.tokens(search) + self.search_positions + encoder.query_role
        weights = self._ranking_weights(template_mask, len(z))
        batch, count, width = x.shape
        living = torch.arange(count, device=x.device).expand(batch, -1)  # places of the search tokens that are left
        removed = []
        tokens = torch.cat([z, x], 1)
        last_block = len(encoder.blocks) - 1
        for number, block in enumerate(encoder.blocks):
            assert isinstance(block, Block)
            if number in self.keep_rates:
                rate = self.keep_rates[number] if keep_rate is None else keep_rate
                search_left = living.shape[1]
                kept = math.ceil(rate * search_left)
                tokens, staying, leaving = eliminate(block, tokens, search_left, kept, self.ranking_tokens, weights)
                removed.append(living.gather(1, leaving))
                living = living.gather(1, staying)
            else:
                tokens = block(tokens, living.shape[1] if number == last_block else tokens.shape[1])
        found = encoder.norm(tokens[:, -living.shape[1] :])
        features = found.new_zeros(batch, count, width)
        return features.scatter(1, living.unsqueeze(2).expand(-1, -1, width), found), tuple(removed)

    def _ranking_weights(self, template_mask: Tensor | None, batch: int) -> Tensor:
        """How much each of the `ranking_tokens` counts, (B,R), each row with the sum 1.

        Raises:
            ValueError: the tokens that rank are not given where they must be, or given where they are not wanted.
        """
        if (template_mask is not None) != (self.ranking == "box"):
            raise ValueError(f"ranking={self.ranking!r} of DropTrack and template_mask do not fit")
        if template_mask is not None:
            return template_mask / template_mask.sum(1, keepdim=True)
        count = len(self.ranking_tokens)
        return torch.full((batch, count), 1 / count, device=self.ranking_tokens.device)


def eliminate(
    block: Block, tokens: Tensor, search: int, kept: int, ranking: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A block that drops search tokens between its attention and its MLP (OSTrack, section 3.2).

    Dropped are those that the ranking template tokens look at least: by the softmax over all keys, its mean over these
    tokens and over the heads. Only their rows of the attention are computed for it. The others keep their order.

    Args:
        block: the block.
        tokens: of the template and behind them what is left of the search region, (B,N,D).
        search: how many of them are of the search region.
        kept: how many of these stay.
        ranking: places (R,) of the template tokens that rank.
        weights: of these, (B,R), each row with the sum 1.

    Returns:
        The tokens that are left, and the places among the search tokens of those kept, (B,kept), and dropped.
    """
    query, key, value = block.attention.split(block.norm1(tokens))
    tokens = tokens + block.drop_path(block.attention.read(query, key, value))
    template = tokens.shape[1] - search
    if kept >= search:
        places = torch.arange(search, device=tokens.device).expand(len(tokens), -1)
        return block.transform(tokens), places, places[:, :0]
    with torch.no_grad():
        logits = query[:, :, ranking] @ (key.transpose(2, 3) * query.shape[-1] ** -0.5)
        looks = logits.softmax(-1, dtype=torch.float32)[..., template:]
        order = torch.einsum("br,bhrm->bm", weights, looks).argsort(dim=1, descending=True, stable=True)
        staying, leaving = order[:, :kept].sort(1).values, order[:, kept:].sort(1).values
    left = tokens[:, template:].gather(1, staying.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
    return block.transform(torch.cat([tokens[:, :template], left], 1)), staying, leaving


class CentreHead(nn.Module):
    """Three branches of convolutions over the search region: where the centre is, how large the object, the offset.

    Args:
        width: channels of the features.
        channels: of the first layer.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        if channels < 1 << HEAD_LAYERS:
            raise ValueError(f"a head of {channels} channels is too narrow; {1 << HEAD_LAYERS} is the least")
        self.score = _branch(width, channels, 1)
        self.size = _branch(width, channels, 2)
        self.offset = _branch(width, channels, 2)

    def forward(self, features: Tensor) -> Maps:
        """Features (B,D,h,w) -> maps."""
        score, size = (
            branch(features).float().sigmoid().clamp(SCORE_FLOOR, 1 - SCORE_FLOOR) for branch in (self.score, self.size)
        )
        return Maps(score, size, self.offset(features).float())


def _branch(width: int, channels: int, out: int) -> nn.Sequential:
    widths = [width, *(channels >> i for i in range(HEAD_LAYERS))]
    layers: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True))
        for before, after in pairwise(widths)
    ]
    branch = nn.Sequential(*layers, nn.Conv2d(widths[-1], out, 1))
    for layer in branch.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
    return branch


def ranking_tokens(ranking: str, side: int) -> Tensor:
    """Template tokens that rank on a grid of side x side, as flat places.

    The published code knows sides 7, 8, 12 and 14 and agrees there.

    Raises:
        ValueError: there is no such ranking.
    """
    low, high = (side - 1) // 2, side // 2
    if ranking == "centre":
        return torch.tensor([low * side + low])
    if ranking == "centre_square":
        return torch.tensor(sorted({row * side + column for row in (low, high) for column in (low, high)}))
    if ranking == "all":
        return torch.arange(side * side)
    raise ValueError(f"there is no ranking {ranking!r}; choose centre, centre_square, box or all")


def box_tokens(boxes: Tensor, size: int) -> Tensor:
    """Template tokens that boxes touch, for `ranking="box"`: those within reach of a pixel by bilinear interpolation.

    Args:
        boxes: x, y, width, height (B,4) in shares of the template.
        size: side of the template in pixels.

    Returns:
        (B,n), bool.
    """
    grid = torch.arange(size, device=boxes.device)
    corner, extent = boxes[:, :2] * size, boxes[:, 2:] * size
    low, high = corner.int(), (corner + extent - 1).int()
    high = torch.maximum(high, low + 1)  # one pixel at least
    columns, rows = (((grid >= low[:, i : i + 1]) & (grid < high[:, i : i + 1])).float() for i in (0, 1))
    mask = rows[:, None, :, None] * columns[:, None, None, :]
    side = size // PATCH
    return nn.functional.interpolate(mask, (side, side), mode="bilinear", align_corners=False).flatten(1) > 0


def position_tokens(grid: Tensor, size: int) -> Tensor:
    """Positions (1,D,h,w) for square pictures of so many pixels, (1,n,D)."""
    return grid_tokens(resize_grid(grid, (size // PATCH, size // PATCH))).clone()


def hann_window(side: int) -> Tensor:
    """Weights (side,side) that prefer the middle: what a tracker expects of an object that moves little."""
    row = torch.hann_window(side + 2, periodic=False, dtype=torch.float64)[1:-1]
    return torch.outer(row, row).float()


def _check_elimination(blocks: Sequence[int], rates: Sequence[float], depth: int) -> None:
    if len(blocks) != len(rates) or len(set(blocks)) != len(blocks) or not all(0 <= block < depth for block in blocks):
        raise ValueError(f"blocks {list(blocks)} with rates {list(rates)} do not fit a transformer of {depth} blocks")
    if not all(0 < rate <= 1 for rate in rates):
        raise ValueError(f"keep rates {list(rates)} must be above 0 and at most 1")
