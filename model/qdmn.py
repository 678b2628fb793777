"""QDMN: quality-aware dynamic memory network (Liu et al., ECCV 2022)."""

import torch
from torch import Tensor, nn

from model.aspp import ASPP
from model.blocks import KeyValueProjection, MaskDecoder
from model.memory_network import MemoryNetwork, QueryFeatures, with_others, with_query
from model.memory_read import MemoryEntry
from model.prior import PriorGate
from model.quality import QualityScorer
from model.resnet import ResNetEncoder


class QDMN(MemoryNetwork):
    """One network for training and inference.

    Args:
        backbone: `resnet18` (11.4 M parameters) or `resnet50` (104.5 M, the published size).
        multi_object: the memory encoder sees the sum of the other objects' masks (published stages 1 and 2,
            and evaluation); otherwise only the object's own mask (stage 0).
        key_dim, value_dim: channels of keys and values; by default in proportion to the backbone (128 and 512
            for resnet50).
        score_activation: see `QualityScorer`.
    """

    arch = "qdmn"

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        multi_object: bool = True,
        key_dim: int | None = None,
        value_dim: int | None = None,
        score_activation: str = "sigmoid",
    ) -> None:
        super().__init__()
        self.query_encoder = ResNetEncoder(backbone)
        self.memory_encoder = ResNetEncoder(backbone, extra_channels=2 if multi_object else 1)
        f4, f8, f16 = self.query_encoder.channels
        key_dim = key_dim or max(64, f16 // 8)
        value_dim = value_dim or f16 // 2
        self.options = {
            "backbone": backbone,
            "multi_object": multi_object,
            "key_dim": key_dim,
            "value_dim": value_dim,
            "score_activation": score_activation,
        }
        self.query_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.memory_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.prior_gate = PriorGate(f16)
        self.aspp = ASPP(2 * value_dim, f16 // 4, f16)
        self.decoder = MaskDecoder(f16, f8, f4, f16 // 2)
        self.quality_scorer = QualityScorer(f16, activation=score_activation)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """First weights that let a network learn quickly, also from nothing.

        Both encoders and both key projections start the same and keys start large, so that affinity tells like
        from unlike from the first iteration.
        """
        state = self.query_encoder.state_dict()
        mask_filters = self.memory_encoder.conv1.weight[:, 3:]
        state["conv1.weight"] = torch.cat([state["conv1.weight"], mask_filters], 1)
        self.memory_encoder.load_state_dict(state)
        nn.init.normal_(self.query_projection.key.weight, std=2 * self.query_projection.key.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.query_projection.key.bias)
        self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())

    def encode_query(self, image: Tensor, prior: Tensor) -> QueryFeatures:
        """See `MemoryNetwork`. The frame is enhanced where objects were last seen."""
        f4, f8, f16 = self.query_encoder(image)
        key, value = self.query_projection(self.prior_gate(f16, prior))
        return QueryFeatures(key, value, f16, f8, f4)

    def encode_memory(
        self, image: Tensor, masks: Tensor, query: QueryFeatures | None = None, others: Tensor | None = None
    ) -> MemoryEntry:
        """See `MemoryNetwork`. Frame and masks go through an encoder of their own, so `query` is not used."""
        batch, objects = masks.shape[:2]
        planes = with_others(masks, others) if self.options["multi_object"] else masks.unsqueeze(2)
        channels = [image.unsqueeze(1).expand(-1, objects, -1, -1, -1), planes]
        feature = self.memory_encoder(torch.cat(channels, 2).flatten(0, 1))[-1]
        key, value = (
            x.flatten(2).transpose(1, 2).unflatten(0, (batch, objects)) for x in self.memory_projection(feature)
        )
        return MemoryEntry(key, value, self.quality_scorer(feature).unflatten(0, (batch, objects)))

    def decode(self, query: QueryFeatures, readout: Tensor) -> Tensor:
        """See `MemoryNetwork`."""
        feature = self.aspp(with_query(readout, query))
        return self.decoder(feature, query.f8, query.f4).squeeze(1).unflatten(0, readout.shape[:2])
