"""QDMN: quality-aware dynamic memory network (Liu et al., ECCV 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.convolution import object_conv
from model.layers.decoder import MaskDecoder, Window
from model.layers.quality import QualityScorer
from model.memory_network import QueryFeatures, TwoEncoderNetwork


class QDMN(TwoEncoderNetwork):
    """One network for training and inference.

    Args:
        backbone: `resnet18` (11.4 M parameters) or `resnet50` (104.5 M, the published size).
        multi_object: the memory encoder sees the sum of the other objects' masks (published stages 1 and 2,
            and evaluation); otherwise only the object's own mask (stage 0).
        key_dim, value_dim: channels of keys and values; by default in proportion to the backbone (128 and 512
            for resnet50).
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)),
            which is published.
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
        """Features at strides 4, 8 and 16, prior (B,1,H,W) -> query, enhanced where objects were last seen."""
        f4, f8, f16 = features
        key, value = self.query_projection(self.prior_gate(f16, prior))
        return QueryFeatures(key, value, f16, f8, f4)

    def decode(self, query: QueryFeatures, readout: Tensor, window: Window | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w), beside the frame's value through the ASPP and the decoder -> logits (B,K,H,W)."""
        feature = self.aspp(readout.flatten(0, 1), query.value)
        return self.decoder(feature, query.f8, query.f4, window=window).squeeze(1).unflatten(0, readout.shape[:2])


class PriorGate(nn.Module):
    """The prior mask enhancement (section 3.2): weakens a frame's feature where no object was on the previous frame.

    Starts by brightening where objects were last seen.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d(channels + 1, 1, 3, padding=1)
        self.weight, self.bias = conv.weight, conv.bias
        with torch.no_grad():
            self.weight[:, -1] = 0
            self.weight[:, -1, 1, 1] = 2

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """Feature (B,C,h,w), prior (B,1,H,W) in [0, 1] -> gated feature (B,C,h,w)."""
        return feature * torch.sigmoid(self.logits(feature, prior))

    def logits(self, feature: Tensor, prior: Tensor) -> Tensor:
        """The gate (B,1,h,w) before its sigmoid."""
        prior = F.interpolate(prior, size=feature.shape[-2:], mode="bilinear", align_corners=False)
        return F.conv2d(torch.cat([feature, prior], 1), self.weight, self.bias, padding=1)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., DeepLabv3, 2017): dilations 1, 6, 12, 18 and the mean of the map.

    The published code's dropout is left out: it never was active.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvBatchNormReLU(in_channels, width, 1)]
            + [ConvBatchNormReLU(in_channels, width, 3, dilation) for dilation in (6, 12, 18)]
        )
        self.pooled = ConvBatchNormReLU(in_channels, width, 1)
        self.fuse = ConvBatchNormReLU(5 * width, out_channels, 1)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """Input (N,C,h,w), or the objects' own half of it and the shared one, as in `object_conv` -> (N,O,h,w)."""
        shared_mean = None if shared is None else shared.mean((2, 3), keepdim=True)
        pooled = self.pooled(x.mean((2, 3), keepdim=True), shared_mean).expand(-1, -1, *x.shape[-2:])
        return self.fuse(torch.cat([*(branch(x, shared) for branch in self.branches), pooled], 1))


class ConvBatchNormReLU(nn.Sequential):
    """Convolution without bias that keeps the size, batch-norm, ReLU.

    Only the centre of a kernel starts with weights: the arms of a large dilation lie outside small training crops
    and must not add untrained noise on larger frames.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
        nn.init.zeros_(conv.weight)
        centre = conv.weight[:, :, kernel // 2, kernel // 2]
        nn.init.normal_(centre, std=(2 / in_channels) ** 0.5)
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """Input (N,C,h,w), or its halves -> (N,O,h,w)."""
        conv, norm, relu = self
        return relu(norm(object_conv(conv, x, shared)))
