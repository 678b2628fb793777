"""DropSeg's and DropMAE's published entries that have no counterpart of the same shape here, and their names."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from model.layers.vit import PATCH, backbone_of, grid_tokens, resize_grid

UNUSED = ("cls_token", "head.", "fc_norm.")
CLASSES = 1000
BLOCK_PARTS = (("attn.qkv", "attention.qkv"), ("attn.proj", "attention.project"))
BLOCK_PARTS += (("mlp.fc1", "expand"), ("mlp.fc2", "contract"), ("norm1", "norm1"), ("norm2", "norm2"))


def block_names(published: str, ours: str, count: int = 12) -> tuple[tuple[str, str], ...]:
    """Names of the parts of transformer blocks, (published, ours)."""
    return tuple((f"{published}.{i}.{old}.", f"{ours}.{i}.{new}.") for i in range(count) for old, new in BLOCK_PARTS)


def encoder_names(ours: str) -> tuple[tuple[str, str], ...]:
    """Names of the encoder, which DropSeg and DropMAE share."""
    return (
        ("patch_embed.proj.", f"{ours}.patch_embed."),
        ("temporal_pos_embed_x", f"{ours}.query_role"),
        ("temporal_pos_embed_z", f"{ours}.memory_role"),
        *block_names("blocks", f"{ours}.blocks"),
        ("norm.", f"{ours}.norm."),
    )


DROPSEG_NAMES = (
    *encoder_names("query_encoder"),
    ("mask_patch_embed.proj.", "mask_embed."),
    ("fpn2.0.", "up8."),
    ("fpn1.0.", "up4.first."),
    ("fpn1.1.ln.", "up4.norm."),
    ("fpn1.3.", "up4.second."),
    ("stcn_decoder.compress.downsample.", "decoder.compress.shortcut."),
    ("stcn_decoder.up_16_8.out_conv.downsample.", "decoder.up_16_8.out_block.shortcut."),
    ("stcn_decoder.up_16_8.out_conv.", "decoder.up_16_8.out_block."),
    ("stcn_decoder.up_8_4.out_conv.", "decoder.up_8_4.out_block."),
    ("stcn_decoder.pred.", "decoder.predict."),
    ("stcn_decoder.", "decoder."),
    ("score.", "quality_scorer."),
)


def two_frame_positions(embedding: Tensor, side: int, frames: int = 2) -> Tensor:
    """Published pos_embed (1,1+196,D) -> what DropSeg stores for several frames, (1,1+frames*side^2,D)."""
    grid = grid_tokens(resize_grid(as_grid(embedding[:, 1:]), (side, side)))
    return torch.cat([embedding[:, :1], *[grid] * frames], 1)


def as_grid(tokens: Tensor) -> Tensor:
    """Positions (1,side^2,D) -> (1,D,side,side)."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def dropseg_options(state: Mapping[str, Tensor]) -> dict[str, object]:
    """What builds the DropSeg that a published state dict fits.

    Raises:
        ValueError: its width is that of no known transformer.
    """
    backbone = backbone_of(state["patch_embed.proj.weight"].shape[0])
    side = math.isqrt((state["pos_embed_two_frame"].shape[1] - 1) // 2)
    return {"backbone": backbone, "image_size": side * PATCH, "quality_head": "score.fc2.weight" in state}


def drop_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published DropSeg without what it does not use; its positions as grids."""
    positions = ("pos_embed", "pos_embed_two_frame", "pos_embed_three_frame")
    kept = {k: v for k, v in state.items() if k not in positions and not k.startswith(UNUSED)}
    count = (state["pos_embed_two_frame"].shape[1] - 1) // 2
    return kept | {
        "pretrained_positions": as_grid(state["pos_embed"][:, 1:]),
        "positions": as_grid(state["pos_embed_two_frame"][:, 1 : 1 + count]),
    }


def restore_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `drop_unused`; what the network does not use is made anew, zeros for the most part."""
    kept = {k: v for k, v in state.items() if k not in ("pretrained_positions", "positions")}
    width = state["positions"].shape[1]
    first, grid = torch.zeros(1, 1, width), grid_tokens(state["positions"].cpu())
    return kept | {
        "cls_token": first.clone(),
        "pos_embed": torch.cat([first, grid_tokens(state["pretrained_positions"].cpu())], 1),
        "pos_embed_two_frame": torch.cat([first, grid, grid], 1),
        "pos_embed_three_frame": torch.cat([first, grid, grid, grid], 1),
        "head.weight": torch.zeros(CLASSES, width),
        "head.bias": torch.zeros(CLASSES),
        "fc_norm.weight": torch.ones(width),
        "fc_norm.bias": torch.zeros(width),
    }
