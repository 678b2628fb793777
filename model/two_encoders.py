"""What QDMN and Mask-Propagation share: a query encoder, and a memory encoder that sees the masks (STM, ICCV 2019)."""

import torch
from torch import Tensor, nn

from model.layers.blocks import KeyValueProjection
from model.layers.quality import QualityScorer
from model.layers.resnet import ResNetEncoder
from model.memory.read import MemoryEntry
from model.memory_network import MemoryNetwork, QueryFeatures, object_positions, with_others


class TwoEncoderNetwork(MemoryNetwork):
    """Encoders, projections and the quality scorer.

    Args:
        backbone, multi_object, key_dim, value_dim: see `model.qdmn.QDMN`.
        query_bias, memory_bias: whether the convolutions of the encoders have a bias.
    """

    def __init__(
        self,
        *,
        backbone: str,
        multi_object: bool,
        key_dim: int | None,
        value_dim: int | None,
        query_bias: bool,
        memory_bias: bool = True,
    ) -> None:
        super().__init__()
        self.query_encoder = ResNetEncoder(backbone, bias=query_bias)
        self.memory_encoder = ResNetEncoder(backbone, extra_channels=2 if multi_object else 1, bias=memory_bias)
        f16 = self.query_encoder.channels[-1]
        key_dim = key_dim or max(64, f16 // 8)
        value_dim = value_dim or f16 // 2
        self.options = {
            "backbone": backbone,
            "multi_object": multi_object,
            "key_dim": key_dim,
            "value_dim": value_dim,
        }
        self.query_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.memory_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.quality_scorer: QualityScorer | None = None
        self._equal_starts()

    @torch.no_grad()
    def _equal_starts(self) -> None:
        """First weights that let a network learn quickly, also from nothing.

        Both encoders and both key projections start the same and keys start large, so that affinity tells like
        from unlike from the first iteration.
        """
        state = self.query_encoder.state_dict()
        mask_filters = self.memory_encoder.conv1.weight[:, 3:]
        state["conv1.weight"] = torch.cat([state["conv1.weight"], mask_filters], 1)
        self.memory_encoder.load_state_dict(state, strict=False)
        nn.init.normal_(self.query_projection.key.weight, std=2 * self.query_projection.key.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.query_projection.key.bias)
        self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """See `MemoryNetwork`. Frame and masks go through an encoder of their own, so `query` is not used."""
        batch = len(masks)
        feature = self.memory_encoder(image, self._mask_planes(masks, others).flatten(0, 1))[-1]
        key, value = (object_positions(x, batch) for x in self.memory_projection(feature))
        return MemoryEntry(key, value, self.score(feature, batch) if scored else None)

    def _mask_planes(self, masks: Tensor, others: Tensor | None) -> Tensor:
        """What the memory encoder sees of each object, (B,K,1 or 2,H,W)."""
        return with_others(masks, others) if self.options["multi_object"] else masks.unsqueeze(2)
