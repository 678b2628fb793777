"""Published weights under our names, and back: how files are recognised, what they fit, how their entries are named."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.layers.vit import PATCH, PRETRAINED_GRID, backbone_of, grid_tokens, resize_grid
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

State = Mapping[str, Tensor]
Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PublishedForm:
    """The published state dict of a network.

    Attributes:
        has, lacks: entries by which it is told from those of other networks.
        names: (published prefix, our prefix) of the entries; the first match wins, and the mapping is one to one.
            Entries without a match have the same name on both sides.
        options: the keyword arguments that build the network of a file, from its entries. Raises KeyError, IndexError
            or ValueError where entries that it looks at are missing or of no known network.
        reshape: changes published entries that differ from ours in more than their names, before they are renamed.
        restore: undoes `reshape`, after they are renamed back.
        wrapper: under which name the published code looks for the state dict in a file; empty where that is bare.
    """

    has: tuple[str, ...]
    names: Names
    options: Callable[[State], dict[str, object]]
    lacks: tuple[str, ...] = ()
    reshape: Callable[[State], dict[str, Tensor]] = dict
    restore: Callable[[State], dict[str, Tensor]] = dict
    wrapper: str = ""


def identify(state: Mapping[str, object]) -> str | None:
    """Name of the published network that a state dict belongs to, `PUBLISHED` among others, or None."""
    for name, form in PUBLISHED.items():
        if all(key in state for key in form.has) and not any(key in state for key in form.lacks):
            return name
    return next((name for name, entries in STARTS.items() if all(key in state for key in entries)), None)


def from_published(arch: str, state: State) -> dict[str, Tensor]:
    """Published entries of a network of `PUBLISHED` under our names; unknown entries keep theirs."""
    form = PUBLISHED[arch]
    return _rename(form.reshape(state), form.names)


def to_published(arch: str, state: State) -> dict[str, Tensor]:
    """Our entries of a network of `PUBLISHED` under the published names."""
    form = PUBLISHED[arch]
    return form.restore(_rename(state, tuple((ours, published) for published, ours in form.names)))


def published_name(arch: str, name: str) -> str:
    """The published name of an entry of ours; where several come from one, or it has none, what comes nearest."""
    names = tuple((ours, published) for published, ours in PUBLISHED[arch].names)
    return next(iter(_rename({name: torch.empty(0)}, names)))


def _rename(state: State, names: Names) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        for old, new in names:
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    return {renamed(key): value for key, value in state.items()}


# QDMN, Mask-Propagation and STCN.
DECODER_NAMES = (
    ("decoder.compress.downsample.", "decoder.compress.shortcut."),
    ("decoder.up_16_8.skip_conv1.", "decoder.up_16_8.skip_conv."),
    ("decoder.up_16_8.skip_conv2.", "decoder.up_16_8.skip_block."),
    ("decoder.up_16_8.out_conv.downsample.", "decoder.up_16_8.out_block.shortcut."),
    ("decoder.up_16_8.out_conv.", "decoder.up_16_8.out_block."),
    ("decoder.up_8_4.skip_conv1.", "decoder.up_8_4.skip_conv."),
    ("decoder.up_8_4.skip_conv2.", "decoder.up_8_4.skip_block."),
    ("decoder.up_8_4.out_conv.", "decoder.up_8_4.out_block."),
    ("decoder.pred.", "decoder.predict."),
    ("decoder.", "decoder."),
    ("score.", "quality_scorer."),
)
TWO_ENCODER_NAMES = (
    ("mask_rgb_encoder.", "memory_encoder."),
    ("rgb_encoder.res2.", "query_encoder.layer1."),
    ("rgb_encoder.", "query_encoder."),
    ("kv_m_f16.key_proj.", "memory_projection.key."),
    ("kv_m_f16.val_proj.", "memory_projection.value."),
    ("kv_q_f16.key_proj.", "query_projection.key."),
    ("kv_q_f16.val_proj.", "query_projection.value."),
)
QDMN_NAMES = (
    ("concat_conv.", "prior_gate."),
    *(
        (f"aspp.aspp{number}.{published}.", f"aspp.branches.{number - 1}.{ours}.")
        for number in range(1, 5)
        for ours, published in enumerate(("atrous_conv", "bn"))
    ),
    ("aspp.global_avg_pool.1.", "aspp.pooled.0."),
    ("aspp.global_avg_pool.2.", "aspp.pooled.1."),
    ("aspp.conv1.", "aspp.fuse.0."),
    ("aspp.bn1.", "aspp.fuse.1."),
)
STCN_NAMES = (
    ("key_encoder.res2.", "query_encoder.layer1."),
    ("key_encoder.", "query_encoder."),
    ("key_proj.key_proj.", "key."),
    ("key_comp.", "query_value."),
    ("value_encoder.fuser.block1.downsample.", "fusion.block1.shortcut."),
    ("value_encoder.fuser.attention.ChannelGate.mlp.1.", "fusion.attention.squeeze."),
    ("value_encoder.fuser.attention.ChannelGate.mlp.3.", "fusion.attention.excite."),
    ("value_encoder.fuser.attention.SpatialGate.spatial.conv.", "fusion.attention.spatial."),
    ("value_encoder.fuser.", "fusion."),
    ("value_encoder.", "memory_encoder."),
    *(pair for pair in DECODER_NAMES if ".skip_conv" not in pair[0]),
)


def _mivos_options(stem: str, *, scorer_always: bool = False) -> Callable[[State], dict[str, object]]:
    """Options of QDMN and of the MiVOS family, whose published code has ResNet-50 and one of two first convolutions."""

    def options(state: State) -> dict[str, object]:
        found: dict[str, object] = {"backbone": "resnet50", "multi_object": state[stem].shape[1] == 5}
        found["score_activation"] = "relu"
        return found if scorer_always else found | {"quality_head": "score.fc2.weight" in state}

    return options


STEM_PARTS = ("conv1", "conv1_m", "conv1_bg")
STM_CYCLE_NAMES = (
    *(
        (f"Encoder_{published}.{old}", f"{ours}_encoder.{new}")
        for ours, published in (("memory", "M"), ("query", "Q"))
        for old, new in (("res2.", "layer1."), ("res3.", "layer2."), ("res4.", "layer3."), ("", ""))
    ),
    *(
        (f"KV_{published}_r4.{part}.", f"{ours}_projection.{part.lower()}.")
        for ours, published in (("memory", "M"), ("query", "Q"))
        for part in ("Key", "Value")
    ),
    ("Decoder.convFM.", "decoder.compress."),
    ("Decoder.ResMM.", "decoder.mix."),
    *(
        (f"Decoder.{published}.{old}.", f"decoder.{ours}.{new}.")
        for ours, published in (("up_16_8", "RF3"), ("up_8_4", "RF2"))
        for old, new in (("convFS", "skip_conv"), ("ResFS", "skip_block"), ("ResMM", "out_block"))
    ),
    ("Decoder.pred2.", "decoder.predict."),
    ("score.", "quality_scorer."),
)


def _stm_cycle_options(state: State) -> dict[str, object]:
    depth = len({key.split(".")[2] for key in state if key.startswith("Encoder_Q.res4.")})
    if "Encoder_Q.res4.0.conv3.weight" in state:
        backbone = "resnet101" if depth > 6 else "resnet50"
    else:
        backbone = "resnet34" if depth > 2 else "resnet18"
    return {"backbone": backbone, "quality_head": "score.fc2.weight" in state}


def _join_stems(state: State) -> dict[str, Tensor]:
    """The three first convolutions of STM-Cycle, of image, mask and background, as one; unused statistics left out."""
    parts = [f"Encoder_M.{name}.weight" for name in STEM_PARTS]
    joined = {k: v for k, v in state.items() if k not in parts[1:] and not k.endswith((".mean", ".std"))}
    return joined | {parts[0]: torch.cat([state[part] for part in parts], 1)}


def _split_stems(state: State) -> dict[str, Tensor]:
    """Undo `_join_stems`; the statistics, which the published code stores but does not use, are ImageNet's."""
    stem = "Encoder_M.conv1.weight"
    if stem not in state:
        return dict(state)
    weights = state[stem]
    parts = dict(zip(STEM_PARTS, (weights[:, :3], weights[:, 3:4], weights[:, 4:5]), strict=True))
    split = {**state, **{f"Encoder_M.{name}.weight": part.clone() for name, part in parts.items()}}
    for encoder in ("Encoder_M", "Encoder_Q"):
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            split[f"{encoder}.{name}"] = torch.tensor(values).view(1, 3, 1, 1)
    return split


BLOCK_PARTS = (
    ("attn.qkv", "attention.qkv"),
    ("attn.proj", "attention.project"),
    ("mlp.fc1", "expand"),
    ("mlp.fc2", "contract"),
    ("norm1", "norm1"),
    ("norm2", "norm2"),
)


def block_names(published: str, ours: str, count: int = 12) -> Names:
    """Names of the parts of transformer blocks, (published, ours)."""
    return tuple((f"{published}.{i}.{old}.", f"{ours}.{i}.{new}.") for i in range(count) for old, new in BLOCK_PARTS)


def encoder_names(ours: str) -> Names:
    """Names of the encoder, which DropSeg and DropMAE share."""
    return (
        ("patch_embed.proj.", f"{ours}.patch_embed."),
        ("temporal_pos_embed_x", f"{ours}.query_role"),
        ("temporal_pos_embed_z", f"{ours}.memory_role"),
        *block_names("blocks", f"{ours}.blocks"),
        ("norm.", f"{ours}.norm."),
    )


UNUSED = ("cls_token", "head.", "fc_norm.")
CLASSES = 1000
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


def as_grid(tokens: Tensor) -> Tensor:
    """Positions (1,side^2,D) -> (1,D,side,side)."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def _dropseg_options(state: State) -> dict[str, object]:
    """What builds the DropSeg that a published state dict fits.

    Raises:
        ValueError: its width is that of no known transformer.
    """
    backbone = backbone_of(state["patch_embed.proj.weight"].shape[0])
    side = math.isqrt((state["pos_embed_two_frame"].shape[1] - 1) // 2)
    return {"backbone": backbone, "image_size": side * PATCH, "quality_head": "score.fc2.weight" in state}


def _drop_unused(state: State) -> dict[str, Tensor]:
    """A published DropSeg without what it does not use; its positions as grids."""
    positions = ("pos_embed", "pos_embed_two_frame", "pos_embed_three_frame")
    kept = {k: v for k, v in state.items() if k not in positions and not k.startswith(UNUSED)}
    count = (state["pos_embed_two_frame"].shape[1] - 1) // 2
    return kept | {
        "pretrained_positions": as_grid(state["pos_embed"][:, 1:]),
        "positions": as_grid(state["pos_embed_two_frame"][:, 1 : 1 + count]),
    }


def _restore_unused(state: State) -> dict[str, Tensor]:
    """Undo `_drop_unused`; what the network does not use is made anew, zeros for the most part."""
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


def _dropmae_options(state: State) -> dict[str, object]:
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


def _drop_class_rows(state: State) -> dict[str, Tensor]:
    """A published DropMAE with its positions as grids."""
    return {**state, **{name: as_grid(state[name][:, 1:]) for name in GRIDS if name in state}}


def add_class_rows(state: State) -> dict[str, Tensor]:
    """Undo `_drop_class_rows`; the row of the class token, which does not exist, is zero."""
    tokens = {name: grid_tokens(state[name]) for name in GRIDS if name in state}
    rows = {name: torch.cat([torch.zeros_like(grid[:, :1]), grid], 1) for name, grid in tokens.items()}
    return {**state, **rows}


TRACKER_POSITIONS = {"backbone.pos_embed_z": "template_size", "backbone.pos_embed_x": "search_size"}
TRACKER_ROLES = ("backbone.temporal_pos_embed_z", "backbone.temporal_pos_embed_x")
TRACKER_UNUSED = ("backbone.cls_token", "backbone.pos_embed")
DROPTRACK_NAMES = (
    ("backbone.pos_embed_z", "template_positions"),
    ("backbone.pos_embed_x", "search_positions"),
    *((f"backbone.{published}", ours) for published, ours in encoder_names("encoder")),
    *(
        (f"box_head.conv{number + 1}_{published}.", f"head.{ours}.{number}.")
        for published, ours in (("ctr", "score"), ("size", "size"), ("offset", "offset"))
        for number in range(5)
    ),
)


def _droptrack_options(state: State) -> dict[str, object]:
    """What builds the tracker that a published state dict fits; of elimination, which has no weights, it says nothing.

    Raises:
        ValueError: its width is that of no known transformer.
    """
    sizes = {option: math.isqrt(state[name].shape[1]) * PATCH for name, option in TRACKER_POSITIONS.items()}
    return {
        "backbone": backbone_of(state["backbone.patch_embed.proj.weight"].shape[0]),
        "head_channels": state["box_head.conv1_ctr.0.weight"].shape[0],
        **sizes,
    }


def _drop_tracker_unused(state: State) -> dict[str, Tensor]:
    """A published tracker without what it does not use; OSTrack, which has no roles, gets roles of zeros."""
    kept = {key: value for key, value in state.items() if key not in TRACKER_UNUSED}
    role = torch.zeros(1, 1, state["backbone.patch_embed.proj.weight"].shape[0])
    return {**{name: role.clone() for name in TRACKER_ROLES}, **kept}


def _restore_tracker_unused(state: State) -> dict[str, Tensor]:
    """Undo `_drop_tracker_unused`; what the network does not use is made anew."""
    grid = resize_grid(as_grid(state["backbone.pos_embed_z"].detach().cpu()), (PRETRAINED_GRID, PRETRAINED_GRID))
    row = torch.zeros(1, 1, grid.shape[1])
    return {**state, "backbone.cls_token": row, "backbone.pos_embed": torch.cat([row, grid_tokens(grid)], 1)}


PUBLISHED = {
    "qdmn": PublishedForm(
        has=("mask_rgb_encoder.conv1.weight", "score.fc2.weight", "concat_conv.weight"),
        names=(*TWO_ENCODER_NAMES, *QDMN_NAMES, *DECODER_NAMES),
        options=_mivos_options("mask_rgb_encoder.conv1.weight", scorer_always=True),
    ),
    "mask_propagation": PublishedForm(
        has=("mask_rgb_encoder.conv1.weight", "kv_m_f16.key_proj.weight"),
        lacks=("concat_conv.weight",),
        names=(*TWO_ENCODER_NAMES, *DECODER_NAMES),
        options=_mivos_options("mask_rgb_encoder.conv1.weight"),
    ),
    "stcn": PublishedForm(
        has=("value_encoder.conv1.weight", "key_encoder.conv1.weight"),
        names=STCN_NAMES,
        options=_mivos_options("value_encoder.conv1.weight"),
    ),
    "stm_cycle": PublishedForm(
        has=("Encoder_M.conv1_bg.weight", "Decoder.pred2.weight"),
        names=STM_CYCLE_NAMES,
        options=_stm_cycle_options,
        reshape=_join_stems,
        restore=_split_stems,
    ),
    "dropseg": PublishedForm(
        has=("mask_patch_embed.proj.weight", "pos_embed_two_frame", "stcn_decoder.pred.weight"),
        names=DROPSEG_NAMES,
        options=_dropseg_options,
        reshape=_drop_unused,
        restore=_restore_unused,
    ),
    "dropmae": PublishedForm(
        has=("temporal_pos_embed_x", "blocks.0.attn.qkv.weight", "decoder_temporal_pos_embed_x", "mask_token"),
        names=DROPMAE_NAMES,
        options=_dropmae_options,
        reshape=_drop_class_rows,
        restore=add_class_rows,
    ),
    "droptrack": PublishedForm(
        has=("backbone.pos_embed_z", "box_head.conv1_ctr.0.weight"),
        names=DROPTRACK_NAMES,
        options=_droptrack_options,
        reshape=_drop_tracker_unused,
        restore=_restore_tracker_unused,
        wrapper="net",
    ),
}

# What `model.weights.pretrained` begins networks with, and entries by which it is recognised.
STARTS = {
    "a vision transformer's encoder (MAE)": ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    "an ImageNet ResNet": ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight"),
}
