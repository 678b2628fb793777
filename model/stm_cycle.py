"""STM-Cycle: space-time memory network trained with cycle consistency (Li et al., NeurIPS 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.convolution import object_conv
from model.layers.decoder import Refine, ResidualBlock, Window
from model.layers.quality import QualityScorer
from model.memory_network import QueryFeatures, TwoEncoderNetwork

WIDTH = 256


class STMCycle(TwoEncoderNetwork):
    """STM that works at any frame size; 17.2 M parameters with resnet18, 38.9 M with resnet50. The prior is not used.

    Args:
        backbone: one of `model.layers.resnet.BACKBONES`; `resnet18` and `resnet50` are published.
        key_dim, value_dim: channels of keys and values.
        quality_head: add QDMN's scorer, so that the quality-gated memory works.
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)).
    """

    arch = "stm_cycle"
    top_k = None
    size_multiple = 1
    decodes_windows = False

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        key_dim: int = 128,
        value_dim: int = 512,
        quality_head: bool = False,
        score_activation: str = "sigmoid",
    ) -> None:
        super().__init__(
            backbone=backbone,
            multi_object=True,
            key_dim=key_dim,
            value_dim=value_dim,
            query_bias=False,
            memory_bias=False,
        )
        self.options = {
            "backbone": backbone,
            "key_dim": key_dim,
            "value_dim": value_dim,
            "quality_head": quality_head,
            "score_activation": score_activation,
        }
        f4, f8, f16 = self.query_encoder.channels
        self.decoder = TwoClassDecoder(2 * value_dim, f8, f4)
        if quality_head:
            self.quality_scorer = QualityScorer(f16, activation=score_activation)

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """Features at strides 4, 8 and 16 -> query, with the size of the frame."""
        f4, f8, f16 = features
        key, value = self.query_projection(f16)
        height, width = prior.shape[-2:]
        return QueryFeatures(key, value, f16, f8, f4, (height, width))

    def decode(self, query: QueryFeatures, readout: Tensor, window: Window | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w) -> logits (B,K,H,W).

        The softmax over background and object is the sigmoid of their difference.
        """
        self._refuse_window(window)
        background, thing = self.decoder(readout.flatten(0, 1), query.value, query).unbind(1)
        return (thing - background).unflatten(0, readout.shape[:2])

    def _mask_planes(self, masks: Tensor, others: Tensor | None) -> Tensor:
        """Each object's mask, and all that is not the object; other objects are not told from the background."""
        return torch.stack([masks, (1 - masks).clamp(0, 1)], 2)


class TwoClassDecoder(nn.Module):
    """Stride-16 object features -> logits of background and object (STM, ICCV 2019)."""

    def __init__(self, in_channels: int, f8_channels: int, f4_channels: int) -> None:
        super().__init__()
        self.compress = nn.Conv2d(in_channels, WIDTH, 3, padding=1)
        self.mix = ResidualBlock(WIDTH, WIDTH)
        self.up_16_8 = Refine(f8_channels, WIDTH, WIDTH)
        self.up_8_4 = Refine(f4_channels, WIDTH, WIDTH)
        self.predict = nn.Conv2d(WIDTH, 2, 3, padding=1)

    def forward(self, x: Tensor, shared: Tensor, query: QueryFeatures) -> Tensor:
        """Objects' own features (B*K,C1,h,w), those that all share (B,C2,h,w), and the frame's -> (B*K,2,H,W)."""
        x = self.mix(object_conv(self.compress, x, shared))
        x = self.up_8_4(self.up_16_8(x, query.f8), query.f4)
        return F.interpolate(self.predict(F.relu(x)), size=query.size, mode="bilinear", align_corners=False)
