"""Entry names of published weights, and their translation to ours and back."""

from collections.abc import Mapping

from torch import Tensor

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
STCN_DECODER_NAMES = tuple(pair for pair in DECODER_NAMES if ".skip_conv" not in pair[0])
NAMES = {
    "qdmn": (*TWO_ENCODER_NAMES, *QDMN_NAMES, *DECODER_NAMES),
    "mask_propagation": (*TWO_ENCODER_NAMES, *DECODER_NAMES),
    "stcn": (*STCN_NAMES, *STCN_DECODER_NAMES),
}

# Entries that tell the published networks apart: (name, entries that it has, entries that it lacks).
FINGERPRINTS = (
    ("qdmn", ("mask_rgb_encoder.conv1.weight", "score.fc2.weight", "concat_conv.weight"), ()),
    ("mask_propagation", ("mask_rgb_encoder.conv1.weight", "kv_m_f16.key_proj.weight"), ("concat_conv.weight",)),
    ("stcn", ("value_encoder.conv1.weight", "key_encoder.conv1.weight"), ()),
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
    return _rename(state, NAMES[arch])


def to_published(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our entries of a network under the published names."""
    return _rename(state, tuple((ours, published) for published, ours in NAMES[arch]))


def _rename(state: Mapping[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        for old, new in names:
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    return {renamed(key): value for key, value in state.items()}
