"""What a video to be segmented looks like to those who segment it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        index: its position in the video.
        name: under which its result is saved.
        pixels: RGB (H, W, 3), uint8.
        image: (3, h, w) float32, normalised for the network, in the size in which it works.
        mask: (J, h, w) float32 in {0, 1}, one row for each object whose mask is given; None where none is.
        objects: ids of the rows.
    """

    index: int
    name: str
    pixels: np.ndarray
    image: Tensor
    mask: Tensor | None
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """One way through a video: frames start..stop-1, in order or the last one first.

    Attributes:
        start, stop, reverse: see above.
        merge_from: from this position on, results of an earlier pass exist; only objects that it did not know are
            added to them, where it saw background. None where this pass has its frames to itself.
    """

    start: int
    stop: int
    reverse: bool = False
    merge_from: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def position(self, step: int) -> int:
        """Position in the video of the frame that comes at this step of the pass."""
        return self.stop - 1 - step if self.reverse else self.start + step


class Video(Protocol):
    """A video as `datasets.test.annotated_video.AnnotatedVideo` describes it."""

    name: str
    objects: tuple[int, ...]
    masks: Mapping[int, object]
    first_seen: Mapping[int, int]
    output_size: tuple[int, int]
    size: tuple[int, int]
    passes: Sequence[Pass]
    covered: Pass
    result_names: list[str]
    has_truth: bool
    has_end: bool
    palette: np.ndarray | None
    rate: Fraction
    times: Sequence[Fraction] | None
    origin: object

    def sources(self) -> list[Path]: ...

    def fingerprint(self) -> dict[str, str]: ...

    def __len__(self) -> int: ...

    def wants(self, name: str) -> bool: ...

    def restore(self, probabilities: Tensor) -> Tensor: ...

    def frames(self, way: Pass) -> Iterator[Frame]: ...
