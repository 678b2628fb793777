"""A light QDMN: one image encoder for queries and memory, narrow heads.

Not a published network. The parts that make QDMN (Liu et al., ECCV 2022) are there: the prior mask enhancement, the
ASPP, the quality scorer on the memory feature and the gated bank that uses it. What costs most is shared: keys depend
on the image alone (as in STCN, NeurIPS 2021), so that memorising a frame needs no second pass of the encoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.decoder import CELL, MaskDecoder, ResidualBlock, Window
from model.layers.quality import QualityScorer
from model.layers.resnet import ResNetEncoder
from model.memory.read import MemoryEntry
from model.memory_network import AffinityNetwork, QueryFeatures, object_positions, with_others
from model.qdmn import ASPP, PriorGate

SHARPNESS = 12.0  # first length of keys, so that affinities tell like from unlike from the first iteration


class SmallQDMN(AffinityNetwork):
    """QDMN with a shared image encoder; 11.9 M parameters with a resnet50 trunk.

    Args:
        backbone: one of `model.layers.resnet.BACKBONES`.
        key_dim, value_dim: channels of keys and values.
        width: channels of the memory feature and of the decoder.
        score_activation: last step of the quality scorer, `sigmoid` (scores in (0, 1)) or `relu` (scores in [0, inf)).
        guided: what is decoded of an object knows where it and the others were on the previous frame. The prior mask
            enhancement knows of all objects together only.
    """

    arch = "qdmn_small"
    query_encoder: ResNetEncoder

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        key_dim: int = 128,
        value_dim: int = 128,
        width: int = 112,
        score_activation: str = "sigmoid",
        guided: bool = False,
    ) -> None:
        super().__init__()
        self.options = {
            "backbone": backbone,
            "key_dim": key_dim,
            "value_dim": value_dim,
            "width": width,
            "score_activation": score_activation,
            "guided": guided,
        }
        self.query_encoder = ResNetEncoder(backbone)
        f4, f8, f16 = self.query_encoder.channels
        self.key = UnitKey(f16, key_dim)
        self.prior_gate = PriorGate(f16)
        self.query_value = nn.Conv2d(f16, value_dim, 1)
        self.mask_fusion = MaskFusion(f16, width)
        self.memory_value = nn.Conv2d(width, value_dim, 3, padding=1)
        self.quality_scorer = QualityScorer(width, activation=score_activation)
        self.aspp = ASPP(2 * value_dim, width // 2, width)
        self.decoder = MaskDecoder(width, f8, f4, width)
        self.whereabouts = _silent(nn.Conv2d(2, value_dim, 5, padding=2)) if guided else None

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> QueryFeatures:
        """Features at strides 4, 8 and 16, prior (B,1,H,W) -> query; the prior enhances its value, not its key."""
        f4, f8, f16 = features
        return QueryFeatures(self.key(f16), self.query_value(self.prior_gate(f16, prior)), f16, f8, f4)

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Frame and masks -> key, value and quality; with `query` the image is not encoded again."""
        if query is None:
            f16 = self.query_encoder(image)[-1]
            key = self.key(f16)
        else:
            f16, key = query.f16, query.key
        batch, objects = masks.shape[:2]
        feature = self.mask_fusion(f16, with_others(masks, others))
        value = object_positions(self.memory_value(feature), batch)
        key = object_positions(key, batch).expand(-1, objects, -1, -1)
        return MemoryEntry(key, value, self.score(feature, batch) if scored else None)

    def guide(self, readout: Tensor, masks: Tensor, others: Tensor | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w) and masks of the previous frame (B,K,H,W) -> readout; as it is if not `guided`."""
        if self.whereabouts is None:
            return readout
        covered = F.avg_pool2d(with_others(masks, others).flatten(0, 1), CELL)
        return readout + self.whereabouts(covered).unflatten(0, masks.shape[:2])

    def decode(self, query: QueryFeatures, readout: Tensor, window: Window | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w), beside the frame's value through the ASPP and the decoder -> logits (B,K,H,W)."""
        feature = self.aspp(readout.flatten(0, 1), query.value)
        return self.decoder(feature, query.f8, query.f4, window=window).squeeze(1).unflatten(0, readout.shape[:2])


def _silent(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution whose result is zero, until it has learned otherwise."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


class UnitKey(nn.Module):
    """Keys of one length: their affinity is a cosine, its sharpness is learned.

    A random projection keeps cosines nearly as they are, so that matching works from the first iteration if the
    encoder's features match.
    """

    def __init__(self, channels: int, key_dim: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, key_dim, 1, bias=False)
        nn.init.orthogonal_(self.project.weight)
        self.log_length = nn.Parameter(torch.tensor(SHARPNESS).log())

    def forward(self, feature: Tensor) -> Tensor:
        """Feature (B,C,h,w) -> key (B,Ck,h,w) of length exp(log_length)."""
        return F.normalize(self.project(feature).float(), dim=1) * self.log_length.exp()


class MaskFusion(nn.Module):
    """Memory feature of an object: the frame's feature and the patches of its mask."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.frame = nn.Conv2d(channels, width, 1)
        self.patches = nn.Conv2d(2, width, 16, stride=16)
        self.blocks = nn.Sequential(ResidualBlock(width, width), ResidualBlock(width, width))

    def forward(self, f16: Tensor, masks: Tensor) -> Tensor:
        """Frame feature (B,C,h,w), each object's mask and the others' sum (B,K,2,H,W) -> (B*K,O,h,w)."""
        patches = self.patches(masks.flatten(0, 1)).unflatten(0, masks.shape[:2])
        return self.blocks((self.frame(f16).unsqueeze(1) + patches).flatten(0, 1))
