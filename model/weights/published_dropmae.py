"""DropMAE's published entries: their names, and the position grids, which carry a row for a class token there."""

from collections.abc import Mapping

import torch
from torch import Tensor

from model.layers.vit import PATCH, backbone_of, grid_tokens
from model.weights.published_dropseg import as_grid, block_names, encoder_names

HEAD_WIDTH = 32
MOST_BLOCKS = 32
GRIDS = ("pos_embed", "decoder_pos_embed")
DROPMAE_NAMES = (
    ("pos_embed", "positions"),
    ("decoder_pos_embed", "decoder.positions"),
    ("decoder_temporal_pos_embed_x", "decoder.earlier_role"),
    ("decoder_temporal_pos_embed_z", "decoder.later_role"),
    ("mask_token", "decoder.mask_token"),
    ("decoder_embed.", "decoder.embed."),
    *block_names("decoder_blocks", "decoder.blocks", MOST_BLOCKS),
    ("decoder_norm.", "decoder.norm."),
    ("decoder_pred.", "decoder.predict."),
    *encoder_names("encoder"),
)


def dropmae_options(state: Mapping[str, Tensor]) -> dict[str, object]:
    """What builds the DropMAE that a published state dict fits; heads of the decoder have 32 channels, as published.

    Raises:
        ValueError: its width is that of no known transformer.
    """
    width = state["decoder_embed.weight"].shape[0]
    return {
        "backbone": backbone_of(state["patch_embed.proj.weight"].shape[0]),
        "image_size": as_grid(state["pos_embed"][:, 1:]).shape[-1] * PATCH,
        "decoder_width": width,
        "decoder_depth": len({key.split(".")[1] for key in state if key.startswith("decoder_blocks.")}),
        "decoder_heads": width // HEAD_WIDTH,
    }


def drop_class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published DropMAE with its positions as grids."""
    return {**state, **{name: as_grid(state[name][:, 1:]) for name in GRIDS if name in state}}


def add_class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `drop_class_rows`; the row of the class token, which does not exist, is zero."""
    tokens = {name: grid_tokens(state[name]) for name in GRIDS if name in state}
    rows = {name: torch.cat([torch.zeros_like(grid[:, :1]), grid], 1) for name, grid in tokens.items()}
    return {**state, **rows}
