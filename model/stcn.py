"""STCN: space-time correspondence network (Cheng et al., NeurIPS 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.decoder import MaskDecoder, ResidualBlock
from model.layers.quality import QualityScorer
from model.layers.resnet import ResNetEncoder
from model.memory.read import MemoryEntry
from model.memory_network import AffinityNetwork, QueryFeatures, object_positions, with_others

REDUCTION = 16
ATTENTION_KERNEL = 7


class STCN(AffinityNetwork):
    """Keys depend on the image alone; a light encoder makes the values of each object. The prior is not used.

    Args:
        backbone: of the key encoder, one of `model.layers.resnet.BACKBONES`; `resnet50` gives 54.4 M
            parameters, the published size.
        multi_object: the value encoder sees the sum of the other objects' masks beside the object's own.
        key_dim, value_dim: channels of keys and values; the latter by default half of the encoder's.
        quality_head: add QDMN's scorer, so that the quality-gated memory works.
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)).
    """

    arch = "stcn"
    similarity = "l2"
    top_k = 20
    keeps_previous = False
    query_encoder: ResNetEncoder

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        multi_object: bool = True,
        key_dim: int = 64,
        value_dim: int | None = None,
        quality_head: bool = False,
        score_activation: str = "sigmoid",
    ) -> None:
        super().__init__()
        self.query_encoder = ResNetEncoder(backbone, bias=False)
        f4, f8, f16 = self.query_encoder.channels
        value_dim = value_dim or f16 // 2
        self.options = {
            "backbone": backbone,
            "multi_object": multi_object,
            "key_dim": key_dim,
            "value_dim": value_dim,
            "quality_head": quality_head,
            "score_activation": score_activation,
        }
        self.key = nn.Conv2d(f16, key_dim, 3, padding=1)
        nn.init.orthogonal_(self.key.weight)
        nn.init.zeros_(self.key.get_parameter("bias"))
        self.query_value = nn.Conv2d(f16, value_dim, 3, padding=1)
        self.memory_encoder = ResNetEncoder("resnet18", extra_channels=2 if multi_object else 1)
        self.fusion = FeatureFusion(self.memory_encoder.channels[-1] + f16, value_dim)
        self.decoder = MaskDecoder(2 * value_dim, f8, f4, f16 // 2, deep_skip=False)
        self.quality_scorer = QualityScorer(value_dim, activation=score_activation) if quality_head else None

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """Features at strides 4, 8 and 16 -> query."""
        f4, f8, f16 = features
        return QueryFeatures(self.key(f16), self.query_value(f16), f16, f8, f4)

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Frame and masks -> key, value and quality; with `query` the image is not encoded again for its key."""
        if query is None:
            f16 = self.query_encoder(image)[-1]
            key = self.key(f16)
        else:
            f16, key = query.f16, query.key
        batch, objects = masks.shape[:2]
        planes = with_others(masks, others) if self.options["multi_object"] else masks.unsqueeze(2)
        feature = self.memory_encoder(image, planes.flatten(0, 1))[-1]
        value = self.fusion(feature, f16.unsqueeze(1).expand(-1, objects, -1, -1, -1).flatten(0, 1))
        key = object_positions(key, batch).expand(-1, objects, -1, -1)
        return MemoryEntry(key, object_positions(value, batch), self.score(value, batch) if scored else None)


class FeatureFusion(nn.Module):
    """Fuses an object's feature with the frame's, with attention between two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(in_channels, out_channels)
        self.attention = ChannelSpatialAttention(out_channels)
        self.block2 = ResidualBlock(out_channels, out_channels)

    def forward(self, feature: Tensor, frame: Tensor) -> Tensor:
        """Object features (N,C1,h,w), frame features (N,C2,h,w) -> values (N,Cv,h,w)."""
        x = self.block1(torch.cat([feature, frame], 1))
        return self.block2(x + self.attention(x))


class ChannelSpatialAttention(nn.Module):
    """CBAM: weighs channels, then places (Woo et al., ECCV 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // REDUCTION)
        self.excite = nn.Linear(channels // REDUCTION, channels)
        self.spatial = nn.Conv2d(2, 1, ATTENTION_KERNEL, padding=ATTENTION_KERNEL // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,h,w) -> (N,C,h,w)."""
        pooled = torch.stack([x.mean((2, 3)), x.amax((2, 3))])
        channels = self.excite(F.relu(self.squeeze(pooled))).sum(0)
        x = x * torch.sigmoid(channels)[..., None, None]
        places = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(places))
