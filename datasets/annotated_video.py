"""A video to be segmented: frames, masks of some of them, and what is wanted of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from datasets.frame_sources import FrameSource
from datasets.pairs import match_size
from util.errors import InputError
from util.read_ahead import read_ahead
from util.tensors import normalise, one_hot
from util.video import Frame, Pass

SHOWN_RATE = Fraction(24)


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video some of whose frames have masks.

    Attributes:
        name: name of the video.
        source: its frames.
        masks: for each annotated position what `read_mask` takes, usually a file.
        read_mask: gives object ids (H, W), 0 for the background.
        objects: ids of all objects, ascending.
        first_seen: position of the first mask of each object.
        output_size: height and width of the first mask, in which results are wanted.
        short_side: most pixels of the shorter side of the frames that the network sees; None for no limit.
        wanted: names of the frames whose results are wanted; None for all.
        has_truth: whether all frames have true masks somewhere, so that results can be scored.
        direction: `forward`, from the first mask to the end; `backward`, from the frame in which the last object is
            first given to the beginning; or `both`.
        palette: colours of the ids in the results, uint8 (256, 3); None for the usual ones.
        rate: frames per second when the video is shown.
    """

    name: str
    source: FrameSource
    masks: Mapping[int, Any]
    read_mask: Callable[[Any], np.ndarray]
    objects: tuple[int, ...]
    first_seen: Mapping[int, int]
    output_size: tuple[int, int]
    short_side: int | None = None
    wanted: frozenset[str] | None = None
    has_truth: bool = False
    direction: str = "forward"
    palette: np.ndarray | None = None
    rate: Fraction = SHOWN_RATE
    size: tuple[int, int] = field(init=False)

    has_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", working_size(self.source.size, self.short_side))

    @classmethod
    def open(
        cls,
        name: str,
        source: FrameSource,
        masks: Mapping[int, Any],
        read_mask: Callable[[Any], np.ndarray],
        **wishes: Any,
    ) -> "AnnotatedVideo":
        """A video whose masks are read once, to learn about its objects.

        Raises:
            InputError: a mask cannot be used, its size differs from the frames' by more than a pixel or two, or there
                is no object in any.
        """
        first_seen: dict[int, int] = {}
        output_size = None
        for index in sorted(masks):
            ids = read_mask(masks[index])
            output_size = output_size or ids.shape
            match_size(ids, source.size, masks[index])
            for k in np.unique(ids[ids > 0]).tolist():
                first_seen.setdefault(k, index)
        if not first_seen:
            named = next(iter(masks.values()), f"of {name}")
            raise InputError(f"mask {named} holds no object (0 is background); annotate one or leave the video out")
        return cls(name, source, masks, read_mask, tuple(sorted(first_seen)), first_seen, output_size, **wishes)

    def __len__(self) -> int:
        """Frames that are segmented, those of several passes counted each time."""
        return sum(map(len, self.passes))

    @property
    def passes(self) -> list[Pass]:
        """The ways through the video that its direction asks for."""
        first, last = min(self.first_seen.values()), max(self.first_seen.values())
        forward, backward = Pass(first, len(self.source.names)), Pass(0, last + 1, reverse=True)
        if self.direction == "backward":
            return [backward]
        if self.direction == "both" and last > 0:
            return [forward, replace(backward, merge_from=first)]
        return [forward]

    @property
    def covered(self) -> Pass:
        """All frames that have results, in their order."""
        passes = self.passes
        return Pass(min(p.start for p in passes), max(p.stop for p in passes))

    def wants(self, name: str) -> bool:
        """Whether the result of the frame of this name is wanted."""
        return self.wanted is None or name in self.wanted

    @property
    def result_names(self) -> list[str]:
        """File names of the results, in temporal order."""
        names = self.source.names[self.covered.start : self.covered.stop]
        return [f"{name}.png" for name in names if self.wants(name)]

    def frames(self, way: Pass) -> Iterator[Frame]:
        """Stream the frames of a pass; a few are read ahead, in background threads.

        Raises:
            InputError: at the frame that cannot be read or whose size differs from the first frame's.
        """
        positions = range(way.start, way.stop)[:: -1 if way.reverse else 1]
        items = self.source.items(way.start, way.stop, reverse=way.reverse)
        return read_ahead(self._load, zip(positions, items, strict=self.has_end))

    def _load(self, place: tuple[int, object]) -> Frame:
        index, item = place
        pixels = self.source.load(item)
        mask, objects = None, ()
        if index in self.masks:
            ids = match_size(self.read_mask(self.masks[index]), self.source.size, self.masks[index])
            objects = tuple(np.unique(ids[ids > 0]).tolist())
            mask = _resize_mask(one_hot(ids, list(objects)), self.size) if objects else None
        image = _resize_image(normalise(pixels), self.size)
        return Frame(index, self.source.names[index], pixels, image, mask, objects)


class LiveAnnotatedVideo(AnnotatedVideo):
    """A video that has no known end and can be read once."""

    has_end = False

    def __len__(self) -> int:
        return 0

    def wants(self, name: str) -> bool:
        """Whether the result of the frame of this name is wanted."""
        return self.wanted is None or name in self.wanted

    @property
    def result_names(self) -> list[str]:
        """Not known."""
        return []


def working_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Height and width with the shorter side cut down to `short_side`, the longer one in proportion, rounded down."""
    shorter = min(size)
    if short_side is None or shorter <= short_side:
        return tuple(size)
    return tuple(short_side if side == shorter else side * short_side // shorter for side in size)


def _resize_image(image: Tensor, size: Sequence[int]) -> Tensor:
    """Bicubic, as published without antialiasing; frames more than twice as large would show patterns without it."""
    if image.shape[-2:] == tuple(size):
        return image
    coarse = image.shape[-2] > 2 * size[0]
    return F.interpolate(image[None], tuple(size), mode="bicubic", align_corners=False, antialias=coarse)[0]


def _resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    return mask if mask.shape[-2:] == tuple(size) else F.interpolate(mask[None], tuple(size), mode="nearest")[0]
