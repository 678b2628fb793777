"""A whole network in one file: docs/extending.md goes through it."""

import torch
from torch import Tensor, nn

from model.layers.decoder import MaskDecoder
from model.layers.quality import QualityScorer
from model.layers.resnet import ImageEncoder
from model.memory.read import MemoryEntry
from model.memory_network import AffinityNetwork, KeyValueProjection, QueryFeatures, with_others

WIDTH = 16


def halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """(N,I,H,W) -> (N,O,H/2,W/2)."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), nn.ReLU())


class TinyEncoder(ImageEncoder):
    """Features at strides 4, 8 and 16."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(halve(3, width), halve(width, width))
        self.layer2 = halve(width, 2 * width)
        self.layer3 = halve(2 * width, 4 * width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image (B,3,H,W) -> f4, f8, f16 of `width`, 2 `width` and 4 `width` channels."""
        f4 = self.layer1(image)
        f8 = self.layer2(f4)
        return f4, f8, self.layer3(f8)


class TinyNetwork(AffinityNetwork):
    """An encoder of four convolutions and the usual decoder; the prior is not used."""

    arch = "tiny"
    similarity = "l2"
    top_k = 20

    def __init__(
        self, *, key_dim: int = 32, value_dim: int = 64, quality_head: bool = False, score_activation: str = "sigmoid"
    ) -> None:
        super().__init__()
        self.options = {"key_dim": key_dim, "value_dim": value_dim}
        self.options |= {"quality_head": quality_head, "score_activation": score_activation}
        self.query_encoder = TinyEncoder(WIDTH)
        self.projection = KeyValueProjection(4 * WIDTH, key_dim, value_dim)
        self.patches = nn.Conv2d(2, 4 * WIDTH, 16, stride=16)
        self.memory_value = nn.Conv2d(8 * WIDTH, value_dim, 3, padding=1)
        self.decoder = MaskDecoder(2 * value_dim, 2 * WIDTH, WIDTH, 4 * WIDTH)
        self.quality_scorer = QualityScorer(value_dim, activation=score_activation) if quality_head else None

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """Keys (B,key_dim,h,w) and values (B,value_dim,h,w) of frames, from f4, f8 and f16; the prior is not used."""
        f4, f8, f16 = features
        key, value = self.projection(f16)
        return QueryFeatures(key, value, f16, f8, f4)

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Keys and values (B,K,h*w,C) of frames (B,3,H,W) with their masks (B,K,H,W), and quality (B,K)."""
        query = query or self.encode_query(image, masks[:, :1])
        batch, objects = masks.shape[:2]
        patches = self.patches(with_others(masks, others).flatten(0, 1))
        feature = self.memory_value(torch.cat([query.f16.repeat_interleave(objects, 0), patches], 1))
        key = query.key.flatten(2).transpose(1, 2).unsqueeze(1).expand(-1, objects, -1, -1)
        value = feature.flatten(2).transpose(1, 2).unflatten(0, (batch, objects))
        return MemoryEntry(key, value, self.score(feature, batch) if scored else None)
