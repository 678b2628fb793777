"""A whole network in one file: docs/extending.md goes through it."""

import torch
from torch import Tensor, nn

from model.blocks import MaskDecoder
from model.memory_network import MemoryNetwork, QueryFeatures, with_others, with_query
from model.memory_read import MemoryEntry
from model.quality import QualityScorer


def halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """(N,I,H,W) -> (N,O,H/2,W/2)."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), nn.ReLU())


class TinyEncoder(nn.Module):
    """Image (B,3,H,W) -> features f4, f8, f16 of `width`, 2 `width` and 4 `width` channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(halve(3, width), halve(width, width))
        self.layer2 = halve(width, 2 * width)
        self.layer3 = halve(2 * width, 4 * width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f4 = self.layer1(image)
        f8 = self.layer2(f4)
        return f4, f8, self.layer3(f8)

    def freeze(self, last: str) -> None:
        """Keep the weights up to and including `layer1`, `layer2` or `layer3`."""
        for name, layer in self.named_children():
            layer.requires_grad_(name > last)


class TinyNetwork(MemoryNetwork):
    """Seven strided convolutions and the usual decoder; the prior is not used."""

    arch = "tiny"
    similarity = "l2"
    top_k = 20

    def __init__(self, *, width: int = 16, quality_head: bool = False, score_activation: str = "sigmoid") -> None:
        super().__init__()
        self.options = {"width": width, "quality_head": quality_head, "score_activation": score_activation}
        deep = 4 * width
        self.query_encoder = TinyEncoder(width)
        self.key = nn.Conv2d(deep, deep, 1)
        self.query_value = nn.Conv2d(deep, deep, 1)
        self.patches = nn.Conv2d(2, deep, 16, stride=16)
        self.memory_value = nn.Conv2d(2 * deep, deep, 3, padding=1)
        self.decoder = MaskDecoder(2 * deep, 2 * width, width, deep)
        self.quality_scorer = QualityScorer(deep, activation=score_activation) if quality_head else None

    def encode_query(self, image: Tensor, prior: Tensor) -> QueryFeatures:
        f4, f8, f16 = self.query_encoder(image)
        return QueryFeatures(self.key(f16), self.query_value(f16), f16, f8, f4)

    def encode_memory(
        self, image: Tensor, masks: Tensor, query: QueryFeatures | None = None, others: Tensor | None = None
    ) -> MemoryEntry:
        f16 = self.query_encoder(image)[-1] if query is None else query.f16
        key = self.key(f16).flatten(2).transpose(1, 2)  # (B,h*w,Ck)
        batch, objects = masks.shape[:2]
        patches = self.patches(with_others(masks, others).flatten(0, 1))
        frame = f16.repeat_interleave(objects, 0)
        feature = self.memory_value(torch.cat([frame, patches], 1))  # (B*K,Cv,h,w)
        value = feature.flatten(2).transpose(1, 2).unflatten(0, (batch, objects))
        return MemoryEntry(key.unsqueeze(1).expand(-1, objects, -1, -1), value, self.score(feature, batch))

    def decode(self, query: QueryFeatures, readout: Tensor) -> Tensor:
        logits = self.decoder(with_query(readout, query), query.f8, query.f4)  # (B*K,1,H,W)
        return logits.squeeze(1).unflatten(0, readout.shape[:2])
