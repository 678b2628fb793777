"""Mask-Propagation, the propagation network of MiVOS (Cheng et al., CVPR 2021)."""

from torch import Tensor

from model.layers.decoder import MaskDecoder
from model.layers.quality import QualityScorer
from model.memory_network import QueryFeatures, TwoEncoderNetwork


class MaskPropagation(TwoEncoderNetwork):
    """STM with a decoder for every frame size; 53.7 M parameters with resnet50. The prior is not used.

    Args:
        backbone: one of `model.layers.resnet.BACKBONES`; `resnet50` is published.
        multi_object: the memory encoder sees the sum of the other objects' masks beside the object's own.
        key_dim, value_dim: channels of keys and values; by default in proportion to the backbone (128 and 512 for
            resnet50).
        quality_head: add QDMN's scorer, so that the quality-gated memory works.
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)).
    """

    arch = "mask_propagation"

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        multi_object: bool = True,
        key_dim: int | None = None,
        value_dim: int | None = None,
        quality_head: bool = False,
        score_activation: str = "sigmoid",
    ) -> None:
        super().__init__(
            backbone=backbone, multi_object=multi_object, key_dim=key_dim, value_dim=value_dim, query_bias=False
        )
        self.options |= {"quality_head": quality_head, "score_activation": score_activation}
        f4, f8, f16 = self.query_encoder.channels
        self.decoder = MaskDecoder(2 * self.options["value_dim"], f8, f4, f16 // 2)
        if quality_head:
            self.quality_scorer = QualityScorer(f16, activation=score_activation)

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """Features at strides 4, 8 and 16 -> query."""
        f4, f8, f16 = features
        key, value = self.query_projection(f16)
        return QueryFeatures(key, value, f16, f8, f4)
