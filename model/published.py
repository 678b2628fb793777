"""Entry names of published weights, and their translation to ours and back."""

from collections.abc import Mapping

from torch import Tensor

# (published prefix, our prefix); the first match wins, and the mapping is one to one.
QDMN_NAMES = (
    ("mask_rgb_encoder.", "memory_encoder."),
    ("rgb_encoder.res2.", "query_encoder.layer1."),
    ("rgb_encoder.", "query_encoder."),
    ("kv_m_f16.key_proj.", "memory_projection.key."),
    ("kv_m_f16.val_proj.", "memory_projection.value."),
    ("kv_q_f16.key_proj.", "query_projection.key."),
    ("kv_q_f16.val_proj.", "query_projection.value."),
    ("concat_conv.", "prior_gate."),
    ("aspp.aspp1.atrous_conv.", "aspp.branches.0.0."),
    ("aspp.aspp1.bn.", "aspp.branches.0.1."),
    ("aspp.aspp2.atrous_conv.", "aspp.branches.1.0."),
    ("aspp.aspp2.bn.", "aspp.branches.1.1."),
    ("aspp.aspp3.atrous_conv.", "aspp.branches.2.0."),
    ("aspp.aspp3.bn.", "aspp.branches.2.1."),
    ("aspp.aspp4.atrous_conv.", "aspp.branches.3.0."),
    ("aspp.aspp4.bn.", "aspp.branches.3.1."),
    ("aspp.global_avg_pool.1.", "aspp.pooled.0."),
    ("aspp.global_avg_pool.2.", "aspp.pooled.1."),
    ("aspp.conv1.", "aspp.fuse.0."),
    ("aspp.bn1.", "aspp.fuse.1."),
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

# Entries that tell the published networks apart: (name, entries that it has, entries that it lacks).
FINGERPRINTS = (
    ("QDMN", ("mask_rgb_encoder.conv1.weight", "score.fc2.weight", "concat_conv.weight"), ()),
    ("Mask-Propagation", ("mask_rgb_encoder.conv1.weight", "kv_m_f16.key_proj.weight"), ("score.fc2.weight",)),
    ("STCN", ("value_encoder.conv1.weight", "key_encoder.conv1.weight"), ()),
    ("an ImageNet ResNet", ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight"), ()),
)


def identify(state: Mapping[str, object]) -> str | None:
    """Name of the published network that a state dict belongs to, or None."""
    for name, present, absent in FINGERPRINTS:
        if all(key in state for key in present) and not any(key in state for key in absent):
            return name
    return None


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published QDMN entries under our names; unknown entries keep theirs."""
    return _rename(state, QDMN_NAMES)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our QDMN entries under the published names."""
    return _rename(state, tuple((ours, published) for published, ours in QDMN_NAMES))


def _rename(state: Mapping[str, Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    def renamed(key: str) -> str:
        for old, new in names:
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    return {renamed(key): value for key, value in state.items()}
