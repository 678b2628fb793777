"""What the published inference code of QDMN (ECCV 2022) does otherwise, for its numbers: `--compat`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model.layers.decoder import soft_aggregate
from model.memory.bank import BankReport, MemoryBank, ObjectMemory, Scores, Slot, report_of, scores_of
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory.read import MemoryEntry
from model.memory_network import MemoryNetwork
from util.tensors import Later


class PublishedBank(MemoryBank):
    """A bank that holds one dynamic slot more, and evicts the slot before the chosen one.

    In the end that is the annotated frame itself. It stores nothing when all scores of the annotated frame are 0. An
    annotation makes it forget which slots are dynamic, so that it evicts the oldest slots afterwards and memory grows
    with the number of annotations.

    Args:
        options: see `MemoryBank`.
    """

    def __init__(self, options: MemoryOptions) -> None:
        super().__init__(replace(options, capacity=options.capacity + 1))

    @staticmethod
    def relative_quality(scores: Sequence[float], reference: Sequence[float]) -> float:
        """The mean over all objects against the mean over those with a reference; NaN when there are none."""
        known = [base for base in reference if base != 0]
        return sum(scores) / len(scores) / (sum(known) / len(known)) if known else math.nan

    def _make_room_for_annotation(self) -> None:
        self._ranks.clear()
        self._stored = 0

    def _evictable(self) -> list[Slot]:
        return self._slots if self.policy.needs_quality else super()._evictable()


class PublishedMemory(ObjectMemory):
    """Memory of the published DAVIS code: its bank, and every frame is scored."""

    bank_kind = PublishedBank

    def uses(self, frame: int) -> tuple[bool, bool]:
        """See `ObjectMemory`."""
        return super().uses(frame)[0], True


class PublishedYouTubeMemory(PublishedMemory):
    """Memory of the published YouTube-VOS code.

    Every annotation begins a new pass: all objects keep the frame, and the first frame behind it sets the reference
    quality. Qualities of 0 are left out; when all are 0 there, nothing is admitted for the rest of the pass. One
    object's frames are ranked by quality itself, those of several by relative quality (the published code ends in
    an error there).

    Args:
        options: see `ObjectMemory`.
    """

    def __init__(self, options: MemoryOptions) -> None:
        super().__init__(options)
        self._reference: float | None = None

    def update(
        self, frame: int, entry: MemoryEntry, annotated: Sequence[int], scores: Scores | None = None
    ) -> tuple[BankReport, ...]:
        """See `ObjectMemory`."""
        scores = scores or scores_of(entry)
        parts = list(self._parts(entry, scores))
        if annotated:
            self._reference = None
            return tuple(report_of(group, group.bank.annotate(frame, part, own)) for group, part, own in parts)
        score = ratio = None
        if scores is not None:
            score = mean_above_zero(scores.value)
            self._reference = score if self._reference is None else self._reference
            ratio = score / self._reference
        rank = score if len(self.objects) == 1 else ratio
        return tuple(
            report_of(group, group.bank.remember(frame, part, relative=Later(lambda: ratio), rank=rank))
            for group, part, _ in parts
        )


def mean_above_zero(quality: Sequence[float]) -> float:
    """Mean of the qualities that are not 0; NaN when all are."""
    known = [score for score in quality if score != 0]
    return sum(known) / len(known) if known else math.nan


class PublishedCore(InferenceCore):
    """`InferenceCore` with the memory of the published code."""

    memory_kind = PublishedMemory


class PublishedCoreYV(InferenceCoreYV):
    """`InferenceCoreYV` with the memory of the published code; predictions beside a given mask are aggregated twice.

    Args:
        network, memory, options: see `InferenceCoreYV`.
        video_objects: number of objects of the whole video, which the published prior counts from the first frame on.
    """

    memory_kind = PublishedYouTubeMemory

    def __init__(
        self,
        network: MemoryNetwork,
        memory: MemoryOptions = YOUTUBE_MEMORY,
        *,
        video_objects: int,
        **options: Any,
    ) -> None:
        super().__init__(network, memory, **options)
        self.video_objects = video_objects

    def _absent(self) -> int:
        return max(0, self.video_objects - len(self.objects))

    def _compose(self, masks: Tensor, given: Tensor, ids: Sequence[int]) -> Tensor:
        if masks.shape[1]:
            masks = soft_aggregate(masks).softmax(1)[:, 1:]
        return super()._compose(masks, given, ids)
