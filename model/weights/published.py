"""Entry names of published weights, and their translation to ours and back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from model.weights.published_dropmae import DROPMAE_NAMES, add_class_rows, drop_class_rows, dropmae_options
from model.weights.published_dropseg import DROPSEG_NAMES, drop_unused, dropseg_options, restore_unused
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

STEM_PARTS = ("conv1", "conv1_m", "conv1_bg")

# (published prefix, our prefix); the first match wins, and the mapping is one to one.
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
)
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
STCN_DECODER_NAMES = tuple(pair for pair in DECODER_NAMES if ".skip_conv" not in pair[0])
NAMES = {
    "qdmn": (*TWO_ENCODER_NAMES, *QDMN_NAMES, *DECODER_NAMES),
    "mask_propagation": (*TWO_ENCODER_NAMES, *DECODER_NAMES),
    "stcn": (*STCN_NAMES, *STCN_DECODER_NAMES),
    "stm_cycle": STM_CYCLE_NAMES,
    "dropseg": DROPSEG_NAMES,
    "dropmae": DROPMAE_NAMES,
}

# Entries that tell the published networks apart: (name, entries that it has, entries that it lacks).
FINGERPRINTS = (
    ("qdmn", ("mask_rgb_encoder.conv1.weight", "score.fc2.weight", "concat_conv.weight"), ()),
    ("mask_propagation", ("mask_rgb_encoder.conv1.weight", "kv_m_f16.key_proj.weight"), ("concat_conv.weight",)),
    ("stcn", ("value_encoder.conv1.weight", "key_encoder.conv1.weight"), ()),
    ("stm_cycle", ("Encoder_M.conv1_bg.weight", "Decoder.pred2.weight"), ()),
    ("dropseg", ("mask_patch_embed.proj.weight", "pos_embed_two_frame", "stcn_decoder.pred.weight"), ()),
    ("dropmae", ("temporal_pos_embed_x", "blocks.0.attn.qkv.weight", "decoder_temporal_pos_embed_x", "mask_token"), ()),
    ("a vision transformer's encoder (MAE)", ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"), ()),
    ("an ImageNet ResNet", ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight"), ()),
)


def identify(state: Mapping[str, object]) -> str | None:
    """Name of the published network that a state dict belongs to, `NAMES` among others, or None."""
    for name, present, absent in FINGERPRINTS:
        if all(key in state for key in present) and not any(key in state for key in absent):
            return name
    return None


def published_options(arch: str, state: Mapping[str, Tensor]) -> dict[str, object]:
    """What builds the network that a published state dict fits."""
    if arch == "dropseg":
        return dropseg_options(state)
    if arch == "dropmae":
        return dropmae_options(state)
    if arch == "stm_cycle":
        return {"backbone": _stm_backbone(state), "quality_head": "score.fc2.weight" in state}
    stem = state["value_encoder.conv1.weight" if arch == "stcn" else "mask_rgb_encoder.conv1.weight"]
    options: dict[str, object] = {
        "backbone": "resnet50",
        "multi_object": stem.shape[1] == 5,
        "score_activation": "relu",
    }
    if arch != "qdmn":
        options["quality_head"] = "score.fc2.weight" in state
    return options


def from_published(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published entries of a network under our names; unknown entries keep theirs."""
    reshape = RESHAPED.get(arch)
    return _rename(reshape[0](state) if reshape else state, NAMES[arch])


def to_published(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our entries of a network under the published names."""
    renamed = _rename(state, tuple((ours, published) for published, ours in NAMES[arch]))
    reshape = RESHAPED.get(arch)
    return reshape[1](renamed) if reshape else renamed


def _join_stems(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The three first convolutions of STM-Cycle, of image, mask and background, as one; unused statistics left out."""
    parts = [f"Encoder_M.{name}.weight" for name in STEM_PARTS]
    joined = {k: v for k, v in state.items() if k not in parts[1:] and not k.endswith((".mean", ".std"))}
    return joined | {parts[0]: torch.cat([state[part] for part in parts], 1)}


def _split_stems(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
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


def _stm_backbone(state: Mapping[str, Tensor]) -> str:
    depth = len({key.split(".")[2] for key in state if key.startswith("Encoder_Q.res4.")})
    if "Encoder_Q.res4.0.conv3.weight" in state:
        return "resnet101" if depth > 6 else "resnet50"
    return "resnet34" if depth > 2 else "resnet18"


def _rename(state: Mapping[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        for old, new in names:
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    return {renamed(key): value for key, value in state.items()}


# Networks whose entries differ in more than their names: from published entries, and back.
RESHAPED = {
    "stm_cycle": (_join_stems, _split_stems),
    "dropseg": (drop_unused, restore_unused),
    "dropmae": (drop_class_rows, add_class_rows),
}
