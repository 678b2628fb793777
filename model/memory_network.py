"""What the networks have in common: what training and inference ask of them, and the two encoders of STM."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from model.layers.decoder import Window
from model.layers.quality import QualityScorer
from model.layers.resnet import ImageEncoder, ResNetEncoder
from model.memory.read import Memory, MemoryEntry, MemoryReader

Query = TypeVar("Query")


class MemoryNetwork(nn.Module, Generic[Query]):
    """Segments a frame with the help of remembered ones: encodes frames, reads the memory, decodes masks.

    A query is what the network makes of a frame that is to be segmented; it is of the network's own kind.

    Attributes:
        arch: its name in the list of networks.
        options: keyword arguments that build it again.
        similarity: of keys, `dot` or `l2`.
        top_k: memory positions that are read by default at inference; None for all.
        size_multiple: frames must be padded to a multiple of it.
        keeps_previous: whether the previous frame is in memory by default at inference.
        policy: of the memory bank by default at inference; None: `quality` with a scorer, else `latest`.
        reads_by_affinity: whether the memory is read by keys, so that top-k and the kernel have a meaning.
        decodes_windows: whether a part of a frame, a `Window`, can be decoded alone.
        query_encoder: encodes images.
        decoder: makes logits of object features.
        quality_scorer: predicts the quality of masks; None for a network without.
    """

    arch: str
    options: dict[str, Any]
    similarity = "dot"
    top_k: int | None = None
    size_multiple = 16
    keeps_previous = True
    policy: str | None = None
    reads_by_affinity = False
    decodes_windows = False
    query_encoder: nn.Module
    decoder: nn.Module
    quality_scorer: QualityScorer | None

    @property
    def memory_channels(self) -> int:
        """Numbers that the memory holds for each position and object."""
        raise NotImplementedError

    def encode_image(self, image: Tensor) -> tuple[Tensor, ...]:
        """What of a frame (B,3,H,W) does not depend on masks: by default its features at strides 4, 8 and 16."""
        return self.query_encoder(image)

    def encode_query(self, image: Tensor, prior: Tensor, features: tuple[Tensor, ...] | None = None) -> Query:
        """Encode a frame that is to be segmented.

        Args:
            image: (B,3,H,W), normalised; H and W are multiples of `size_multiple`.
            prior: (B,1,H,W) in [0, 1]: where any object was on the previous frame.
            features: what `encode_image` made of the image, where it has run.
        """
        return self.project_query(features or self.encode_image(image), prior)

    def project_query(self, features: tuple[Tensor, ...], prior: Tensor) -> Query:
        """Second half of `encode_query`: from what `encode_image` made to what reads the memory and is decoded."""
        raise NotImplementedError

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: Query | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Encode a frame with its masks and score the masks.

        Args:
            image: (B,3,H,W), normalised.
            masks: (B,K,H,W) object probabilities in [0, 1], used as they are.
            query: what `encode_query` made of this image, where it has run; some networks share it.
            others: (B,K,H,W) for each object the sum of all other masks; needed when `masks` are not all of them.
            scored: whether the quality is wanted.
        """
        raise NotImplementedError

    def read(self, query: Query, memory: Memory | Sequence[Memory], reader: MemoryReader) -> Tensor:
        """Readout (B,K,Cv,h,w); several memories are those of objects that follow each other."""
        raise NotImplementedError

    def decode(self, query: Query, readout: Tensor, window: Window | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w) -> logits (B,K,H,W).

        Args:
            query: from `encode_query`.
            readout: from `read`.
            window: the part of the frame that is decoded; None for all.

        Raises:
            ValueError: there is a window, and the network does not decode windows.
        """
        raise NotImplementedError

    def guide(self, readout: Tensor, masks: Tensor, others: Tensor | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w) with what each object's mask on the previous frame says; by default as it is.

        Args:
            readout: from `read`.
            masks, others: of the previous frame, as in `encode_memory`.
        """
        return readout

    def segment(
        self,
        query: Query,
        memory: Memory | Sequence[Memory],
        reader: MemoryReader,
        masks: Tensor | None = None,
        others: Tensor | None = None,
    ) -> Tensor:
        """Object logits (B,K,H,W) of a frame.

        Args:
            query: from `encode_query`.
            memory: one memory of all K objects, or several whose objects follow each other.
            reader: how the memory is read.
            masks, others: of the previous frame, as in `encode_memory`; None where there is none.
        """
        readout = self.read(query, memory, reader)
        return self.decode(query, readout if masks is None else self.guide(readout, masks, others))

    def score(self, feature: Tensor, batch: int) -> Tensor | None:
        """Quality (B,K) of the masks whose memory features (B*K,C,h,w) are given; None without a scorer."""
        return None if self.quality_scorer is None else self.quality_scorer(feature).unflatten(0, (batch, -1))

    def train_quality_head_only(self) -> None:
        """Let everything but the quality scorer keep its weights.

        Raises:
            ValueError: there is no scorer.
        """
        if self.quality_scorer is None:
            raise ValueError(f"{self.arch} has no quality scorer; build it with quality_head")
        self.requires_grad_(False)
        self.quality_scorer.requires_grad_(True)

    def _refuse_window(self, window: Window | None) -> None:
        if window is not None:
            raise ValueError(f"{self.arch} cannot decode a part of a frame; leave out the window")


class QueryFeatures(NamedTuple):
    """A frame to be segmented: key (B,Ck,h,w), value (B,Cv,h,w), features f16, f8, f4 at strides 16, 8 and 4.

    Its height and width stand in `size` where the network works at any size.
    """

    key: Tensor
    value: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor
    size: tuple[int, int] | None = None


class AffinityNetwork(MemoryNetwork[QueryFeatures]):
    """A network whose query reads the memory by the affinities of keys (STM, ICCV 2019).

    The first stages of its image encoder may be frozen.
    """

    top_k: int | None = 50
    reads_by_affinity = True
    decodes_windows = True
    query_encoder: ImageEncoder

    @property
    def memory_channels(self) -> int:
        return self.options["key_dim"] + self.options["value_dim"]

    def read(self, query: QueryFeatures, memory: Memory | Sequence[Memory], reader: MemoryReader) -> Tensor:
        memories = [memory] if isinstance(memory, Memory) else memory
        return torch.cat([reader(m, query.key) for m in memories], 1)

    def decode(self, query: QueryFeatures, readout: Tensor, window: Window | None = None) -> Tensor:
        """Readout (B,K,Cv,h,w), by default beside the frame's value through the decoder -> logits (B,K,H,W)."""
        masks = self.decoder(readout.flatten(0, 1), query.f8, query.f4, query.value, window)
        return masks.squeeze(1).unflatten(0, readout.shape[:2])


class TwoEncoderNetwork(AffinityNetwork):
    """What QDMN, Mask-Propagation and STM-Cycle share: a query encoder, and a memory encoder that sees the masks.

    Args:
        backbone: of both encoders, one of `model.layers.resnet.BACKBONES`.
        multi_object: the memory encoder sees the sum of the other objects' masks beside the object's own.
        key_dim, value_dim: channels of keys and values; by default an eighth (64 at least) and half of the encoders'.
        query_bias, memory_bias: whether the convolutions of the encoders have a bias.
    """

    query_encoder: ResNetEncoder

    def __init__(
        self,
        *,
        backbone: str,
        multi_object: bool,
        key_dim: int | None,
        value_dim: int | None,
        query_bias: bool,
        memory_bias: bool = True,
    ) -> None:
        super().__init__()
        self.query_encoder = ResNetEncoder(backbone, bias=query_bias)
        self.memory_encoder = ResNetEncoder(backbone, extra_channels=2 if multi_object else 1, bias=memory_bias)
        f16 = self.query_encoder.channels[-1]
        key_dim = key_dim or max(64, f16 // 8)
        value_dim = value_dim or f16 // 2
        self.options = {
            "backbone": backbone,
            "multi_object": multi_object,
            "key_dim": key_dim,
            "value_dim": value_dim,
        }
        self.query_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.memory_projection = KeyValueProjection(f16, key_dim, value_dim)
        self.quality_scorer = None
        self._equal_starts()

    @torch.no_grad()
    def _equal_starts(self) -> None:
        """First weights that let a network learn quickly, also from nothing.

        Both encoders and both key projections start the same and keys start large, so that affinity tells like
        from unlike from the first iteration.
        """
        state = self.query_encoder.state_dict()
        mask_filters = self.memory_encoder.conv1.weight[:, 3:]
        state["conv1.weight"] = torch.cat([state["conv1.weight"], mask_filters], 1)
        self.memory_encoder.load_state_dict(state, strict=False)
        nn.init.normal_(self.query_projection.key.weight, std=2 * self.query_projection.key.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.query_projection.key.get_parameter("bias"))
        self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())

    def encode_memory(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None = None,
        others: Tensor | None = None,
        *,
        scored: bool = True,
    ) -> MemoryEntry:
        """Frame and masks -> key, value and quality, by an encoder of their own: `query` is not used."""
        batch = len(masks)
        feature = self.memory_encoder(image, self._mask_planes(masks, others).flatten(0, 1))[-1]
        key, value = (object_positions(x, batch) for x in self.memory_projection(feature))
        return MemoryEntry(key, value, self.score(feature, batch) if scored else None)

    def _mask_planes(self, masks: Tensor, others: Tensor | None) -> Tensor:
        """What the memory encoder sees of each object, (B,K,1 or 2,H,W)."""
        return with_others(masks, others) if self.options["multi_object"] else masks.unsqueeze(2)


class KeyValueProjection(nn.Module):
    """Key and value maps of a stride-16 feature (STM, ICCV 2019)."""

    def __init__(self, in_channels: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(in_channels, key_dim, 3, padding=1)
        self.value = nn.Conv2d(in_channels, value_dim, 3, padding=1)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Feature (B,C,h,w) -> key (B,Ck,h,w), value (B,Cv,h,w)."""
        return self.key(feature), self.value(feature)


def sum_of_others(masks: Tensor) -> Tensor:
    """Masks (B,K,H,W) -> for each object the sum of the other objects' masks, (B,K,H,W)."""
    return masks.sum(1, keepdim=True) - masks


def with_others(masks: Tensor, others: Tensor | None = None) -> Tensor:
    """Masks (B,K,H,W) -> (B,K,2,H,W): each beside the sum of the other objects' masks, where given `others`."""
    return torch.stack([masks, sum_of_others(masks) if others is None else others], 2)


def object_positions(maps: Tensor, batch: int) -> Tensor:
    """Maps of all objects (B*K,C,h,w) -> memory positions (B,K,h*w,C)."""
    return maps.flatten(2).transpose(1, 2).unflatten(0, (batch, -1))
