"""QDMN: quality-aware dynamic memory network (Liu et al., ECCV 2022)."""

from torch import Tensor

from model.layers.aspp import ASPP
from model.layers.blocks import MaskDecoder
from model.layers.prior import PriorGate
from model.layers.quality import QualityScorer
from model.layers.window import Window
from model.memory_network import QueryFeatures
from model.two_encoders import TwoEncoderNetwork


class QDMN(TwoEncoderNetwork):
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
        super().__init__(
            backbone=backbone, multi_object=multi_object, key_dim=key_dim, value_dim=value_dim, query_bias=True
        )
        self.options["score_activation"] = score_activation
        f4, f8, f16 = self.query_encoder.channels
        self.prior_gate = PriorGate(f16)
        self.aspp = ASPP(2 * self.options["value_dim"], f16 // 4, f16)
        self.decoder = MaskDecoder(f16, f8, f4, f16 // 2)
        self.quality_scorer = QualityScorer(f16, activation=score_activation)

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """See `MemoryNetwork`. The frame is enhanced where objects were last seen."""
        f4, f8, f16 = features
        key, value = self.query_projection(self.prior_gate(f16, prior))
        return QueryFeatures(key, value, f16, f8, f4)

    def decode(self, query: QueryFeatures, readout: Tensor, window: Window | None = None) -> Tensor:
        """See `MemoryNetwork`."""
        feature = self.aspp(readout.flatten(0, 1), query.value)
        return self.decoder(feature, query.f8, query.f4, window=window).squeeze(1).unflatten(0, readout.shape[:2])
