"""QDMN: quality-aware dynamic memory network (Liu et al., ECCV 2022)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.blocks import KeyValueProjection, MaskDecoder
from model.memory_read import Memory, MemoryEntry, MemoryReader
from model.quality import QualityScorer
from model.resnet import ResNetEncoder


class QueryFeatures(NamedTuple):
    """A frame to be segmented: key (B,Ck,h,w), value (B,Cv,h,w), skip features at strides 8 and 4."""

    key: Tensor
    value: Tensor
    f8: Tensor
    f4: Tensor


class QDMN(nn.Module):
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
        self.prior_gate = nn.Conv2d(f16 + 1, 1, 3, padding=1)
        self.aspp = ASPP(2 * value_dim, f16 // 4, f16)
        self.decoder = MaskDecoder(f16, f8, f4, f16 // 2)
        self.quality_scorer = QualityScorer(f16, activation=score_activation)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """First weights that let a network learn quickly, also from nothing.

        Both encoders and both key projections start the same and keys start large, so that affinity tells like
        from unlike from the first iteration; the gate starts by brightening where objects were last seen.
        """
        state = self.query_encoder.state_dict()
        mask_filters = self.memory_encoder.conv1.weight[:, 3:]
        state["conv1.weight"] = torch.cat([state["conv1.weight"], mask_filters], 1)
        self.memory_encoder.load_state_dict(state)
        nn.init.normal_(self.query_projection.key.weight, std=2 * self.query_projection.key.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.query_projection.key.bias)
        self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())
        self.prior_gate.weight[:, -1] = 0
        self.prior_gate.weight[:, -1, 1, 1] = 2

    def encode_query(self, image: Tensor, prior: Tensor) -> QueryFeatures:
        """Encode a frame, enhanced where objects were last seen (the prior mask enhancement).

        Args:
            image: (B,3,H,W), normalised; H and W are multiples of 16.
            prior: (B,1,H,W) in [0, 1]: where any object was on the previous frame.
        """
        f4, f8, f16 = self.query_encoder(image)
        prior = F.interpolate(prior, size=f16.shape[-2:], mode="bilinear", align_corners=False)
        gate = torch.sigmoid(self.prior_gate(torch.cat([f16, prior], 1)))
        key, value = self.query_projection(f16 * gate)
        return QueryFeatures(key, value, f8, f4)

    def encode_memory(self, image: Tensor, masks: Tensor) -> MemoryEntry:
        """Encode a frame with its masks and score the masks.

        Args:
            image: (B,3,H,W), normalised.
            masks: (B,K,H,W) object probabilities in [0, 1], used as they are.
        """
        batch, objects = masks.shape[:2]
        channels = [image.unsqueeze(1).expand(-1, objects, -1, -1, -1), masks.unsqueeze(2)]
        if self.options["multi_object"]:
            channels.append((masks.sum(1, keepdim=True) - masks).unsqueeze(2))
        feature = self.memory_encoder(torch.cat(channels, 2).flatten(0, 1))[-1]
        key, value = (
            x.flatten(2).transpose(1, 2).unflatten(0, (batch, objects)) for x in self.memory_projection(feature)
        )
        return MemoryEntry(key, value, self.quality_scorer(feature).unflatten(0, (batch, objects)))

    def segment(self, query: QueryFeatures, memory: Memory | Sequence[Memory], reader: MemoryReader) -> Tensor:
        """Object logits (B,K,H,W) of a frame.

        Args:
            query: from `encode_query`.
            memory: one memory of all K objects, or several whose objects follow each other.
            reader: how the memory is read.
        """
        return self.decode(query, self.read(query, memory, reader))

    def read(self, query: QueryFeatures, memory: Memory | Sequence[Memory], reader: MemoryReader) -> Tensor:
        """Readout (B,K,Cv,h,w)."""
        memories = [memory] if isinstance(memory, Memory) else memory
        return torch.cat([reader(m, query.key) for m in memories], 1)

    def decode(self, query: QueryFeatures, readout: Tensor) -> Tensor:
        """Readout (B,K,Cv,h,w) -> logits (B,K,H,W)."""
        batch, objects = readout.shape[:2]
        value = query.value.unsqueeze(1).expand(-1, objects, -1, -1, -1)
        feature = self.aspp(torch.cat([readout, value], 2).flatten(0, 1))
        return self.decoder(feature, query.f8, query.f4).view(batch, objects, *self._full_size(query))

    @staticmethod
    def _full_size(query: QueryFeatures) -> tuple[int, int]:
        height, width = query.key.shape[-2:]
        return 16 * height, 16 * width


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLabv3): dilations 1, 6, 12, 18 and the mean of the map.

    The published code's dropout is left out: it never was active.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_bn_relu(in_channels, width, 1)]
            + [conv_bn_relu(in_channels, width, 3, dilation) for dilation in (6, 12, 18)]
        )
        self.pooled = conv_bn_relu(in_channels, width, 1)
        self.fuse = conv_bn_relu(5 * width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,h,w) -> (N,O,h,w)."""
        pooled = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.fuse(torch.cat([*(branch(x) for branch in self.branches), pooled], 1))


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch-norm, ReLU.

    Only the centre of a kernel starts with weights: the arms of a large dilation lie outside small training crops
    and must not add untrained noise on larger frames.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
    nn.init.zeros_(conv.weight)
    centre = conv.weight[:, :, kernel // 2, kernel // 2]
    nn.init.normal_(centre, std=(2 / in_channels) ** 0.5)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
