"""Streaming segmentation when every object is given on the first annotated frame (DAVIS)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.chunks import ObjectSteps
from inference.correction import MaskCorrection
from inference.prefetch import FeaturePrefetch
from model.layers.decoder import soft_aggregate
from model.memory.bank import BankReport, ObjectMemory, Scores, scores_of
from model.memory.options import DAVIS_MEMORY, POLICIES, MemoryOptions
from model.memory.read import MemoryEntry, MemoryReader
from model.memory_network import MemoryNetwork, QueryFeatures
from util.tensors import Later, Padding, pad_to_multiple, take_rows, unpad


@dataclass(frozen=True)
class FrameReport:
    """What happened on a frame. What a device is still at work on is waited for when it is first asked for.

    Attributes:
        frame: its index in the stream, from 0.
        objects: ids of the objects, in the order of the rows of the probabilities.
        scores: see `quality`.
        decided: see `banks`.
    """

    frame: int
    objects: tuple[int, ...]
    scores: Scores = field(default_factory=lambda: Later(tuple))
    decided: Later[tuple[BankReport, ...]] = field(default_factory=lambda: Later(tuple))

    @property
    def quality(self) -> tuple[float, ...]:
        """Predicted mask IoU of each object; empty when the network has no scorer or was not asked."""
        return self.scores.value

    @property
    def banks(self) -> tuple[BankReport, ...]:
        """What happened to the memory of all objects, in their order."""
        return self.decided.value


class Stream:
    """Segments the frames of one video in their order.

    Attributes:
        objects: ids of the objects in the order of the rows of the probabilities, behind the background.
        report: of the latest frame; None before the first.
    """

    report: FrameReport | None = None

    @property
    def objects(self) -> tuple[int, ...]:
        raise NotImplementedError

    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            image: (3,H,W), normalised, on the network's device.
            mask: (J,H,W) in [0, 1], the objects' masks, where they are given.
            objects: ids of the rows of the mask.

        Returns:
            Probabilities (K+1,H,W), float32; row 0 is the background. They sum to one.
        """
        raise NotImplementedError

    def steps(self, images: Tensor) -> Iterator[Tensor]:
        """`step` for several frames (F,3,H,W) without masks; `report` is that of the frame that was yielded last."""
        return map(self.step, images)

    def prefetch(self, image: Tensor) -> None:
        """Encode the image of the coming frame already; `step` must then be given this very tensor."""


class Pending(NamedTuple):
    """A frame between segmenting and remembering it: padded image, query features if any, padding."""

    image: Tensor
    query: QueryFeatures | None
    padding: Padding


class InferenceCore(Stream):
    """Segments a video frame by frame; keeps the memory and the previous masks, nothing else of the past.

    Args:
        network: a network of the STM family in evaluation mode.
        memory: what is kept of the past.
        top_k: see `MemoryReader`; `auto` takes what the network was published with.
        km_sigma, max_elements: see `MemoryReader`.
        correct_rate, correct_steps: see `MaskCorrection`, which runs every `mem_every` frames before masks enter the
            memory; None for no correction.
        write_corrected: return corrected masks where there are any, instead of those that they were made from.
        object_chunk, decode_roi: see `ObjectSteps`.
        fused_read: see `MemoryReader`.
        score_all: report the quality of every frame, not only where the memory depends on it.

    Raises:
        ValueError: an argument is out of range.
    """

    memory_kind: type[ObjectMemory] = ObjectMemory

    def __init__(
        self,
        network: MemoryNetwork,
        memory: MemoryOptions = DAVIS_MEMORY,
        *,
        top_k: int | Literal["auto"] | None = "auto",
        km_sigma: float | None = None,
        max_elements: int = 1 << 24,
        correct_rate: float | None = None,
        correct_steps: int = 10,
        write_corrected: bool = False,
        object_chunk: int | None = None,
        decode_roi: bool = False,
        fused_read: bool = False,
        score_all: bool = True,
    ) -> None:
        self.network = network
        self.reader = MemoryReader(
            top_k=network.top_k if top_k == "auto" else top_k,
            km_sigma=km_sigma,
            similarity=network.similarity,
            max_elements=max_elements,
            fused=fused_read,
        )
        has_scorer = network.quality_scorer is not None
        self.options = memory.settled(
            policy=network.policy, keeps_previous=network.keeps_previous, has_scorer=has_scorer
        )
        self._memory = self.memory_kind(self.options)
        self.write_corrected = write_corrected
        self._correct = None
        if correct_rate is not None:
            self._correct = MaskCorrection(network, self.reader, rate=correct_rate, steps=correct_steps)
        self._prefetched: FeaturePrefetch | None = None
        self._steps = ObjectSteps(network, self.reader, object_chunk=object_chunk, decode_roi=decode_roi)
        self._score_all = score_all and has_scorer
        self._frame = -1
        self._previous: Tensor | None = None
        self._size: torch.Size | None = None
        self._pending: Pending | None = None

    @property
    def memory(self) -> ObjectMemory:
        """What is remembered. What is still open about the latest frame is decided when this is first asked for.

        The next frame asks behind its encoding, so that a device need not stand still until its scores are here.
        """
        if self.report is not None:
            _ = self.report.banks
        return self._memory

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects in the order of the rows of the probabilities, behind the background."""
        return self._memory.objects

    @property
    def padding(self) -> Padding:
        """How the frame between `predict` and `commit` is padded."""
        return self._between().padding

    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            image: (3,H,W), normalised, on the network's device.
            mask: (K,H,W) in [0, 1], the annotation of all objects; needed on the first frame. On a later frame
                it replaces the prediction and becomes permanent memory.
            objects: ids of the rows of the mask; by default those of the stream, or else 1..K.

        Returns:
            Probabilities (K+1,H,W), float32; row 0 is the background. They sum to one.

        Raises:
            ValueError: no mask has been given yet, or the frame or the mask does not fit the stream.
        """
        ids = self.check(image, mask, objects)
        return self.commit(self.predict(image, ids), mask, ids)

    def prefetch(self, image: Tensor) -> None:
        """See `Stream`."""
        self._prefetched = self._prefetched or FeaturePrefetch(self.network)
        self._prefetched.prefetch(image)

    def stream(self, images: Iterable[Tensor], masks: Mapping[int, Tensor]) -> Iterator[Tensor]:
        """Segment frames as they come: `step` for each, with the mask of a frame that has one."""
        for index, image in enumerate(images):
            yield self.step(image, masks.get(index))

    @torch.inference_mode()
    def steps(self, images: Tensor) -> Iterator[Tensor]:
        """`step` for several frames (F,3,H,W) without masks; at once where they do not depend on each other.

        Yields:
            Probabilities (K+1,H,W) of each frame; `report` is then that of the same frame.
        """
        if not self.independent:
            yield from map(self.step, images)
            return
        self.check(images[0], None, None)
        padded, padding = pad_to_multiple(images, self.network.size_multiple)
        query = self.network.encode_query(padded, self._prior())
        probabilities = soft_aggregate(
            self._steps.segment(query, self.memory.memories, self._last()).float().sigmoid()
        ).softmax(1)
        for image, result in zip(padded.split(1), probabilities.split(1), strict=True):
            entry = self._memorise(image, result[:, 1:], None)
            self._frame += 1
            self._previous = result
            self._remember(entry, ())
            yield unpad(result[0], padding)

    @property
    def independent(self) -> bool:
        """Whether a frame leaves nothing behind that the next one needs."""
        return not (self.network.reads_by_affinity or POLICIES[self.options.policy].stores or self._correct)

    def check(self, image: Tensor, mask: Tensor | None, objects: Sequence[int] | None) -> tuple[int, ...]:
        """Ids of the rows of a mask; raises as `step` does, and changes nothing."""
        if self._size is not None and self._size != image.shape[-2:]:
            raise ValueError(f"frame is {tuple(image.shape[-2:])}; the stream began with {tuple(self._size)}")
        if mask is None:
            self._check_begun()
            return ()
        check_mask(mask, image)
        ids = tuple(objects or self.objects or range(1, len(mask) + 1))
        self._check_objects(len(mask), ids)
        return ids

    @torch.inference_mode()
    def predict(self, image: Tensor, given: Sequence[int] = ()) -> Tensor:
        """First half of `step`: each known object's mask by itself, in [0, 1]: (1,K,H',W') with padding.

        Args:
            image: (3,H,W), normalised.
            given: ids whose masks are given; if all are, nothing is segmented and the masks are zeros.
        """
        padded, padding = pad_to_multiple(image.unsqueeze(0), self.network.size_multiple)
        query = None
        if set(self.objects) <= set(given):
            masks = padded.new_zeros(1, len(self.objects), *padded.shape[-2:])
        else:
            features = None if self._prefetched is None else self._prefetched.take(image)
            query = self.network.encode_query(padded, self._prior(), features)
            masks = self._steps.segment(query, self.memory.memories, self._last()).float().sigmoid()
        self._pending = Pending(padded, query, padding)
        return masks

    @torch.inference_mode()
    def commit(self, masks: Tensor, mask: Tensor | None = None, ids: Sequence[int] = ()) -> Tensor:
        """Second half of `step`: put given masks in, remember the frame, report.

        Args:
            masks: (1,K,H',W') as from `predict`.
            mask: (J,H,W), the masks that are given.
            ids: their objects; new ones get rows at the end.

        Returns:
            Probabilities as from `step`.
        """
        image, query, padding = self._between()
        if mask is not None:
            masks = self._compose(masks, F.pad(mask.unsqueeze(0).to(image), padding), ids)
        probabilities = soft_aggregate(masks).softmax(1)
        remembered = self._corrected(image, probabilities) if mask is None else probabilities
        entry = self._memorise(image, remembered[:, 1:], query, annotated=mask is not None)
        self._pending = None
        self._frame += 1
        self._previous = remembered
        result = unpad((remembered if self.write_corrected else probabilities)[0], padding)
        self._size = result.shape[-2:]
        self._remember(entry, ids)
        if self._correct is not None and mask is not None:
            self._correct.refer(image, F.pad(mask.unsqueeze(0).to(image), padding), ids)
        return result

    def _prior(self) -> Tensor:
        """Where any object was on the previous frame, (1,1,H',W')."""
        return self._last()[:, 1:].amax(1, keepdim=True)

    def _last(self) -> Tensor:
        """Probabilities (1,K+1,H',W') of the previous frame."""
        if self._previous is None:
            raise ValueError("the first frame needs a mask")
        return self._previous

    def _between(self) -> Pending:
        if self._pending is None:
            raise ValueError("`commit` follows `predict`")
        return self._pending

    def _compose(self, masks: Tensor, given: Tensor, ids: Sequence[int]) -> Tensor:
        return compose(masks, given, [self.objects.index(k) if k in self.objects else None for k in ids])

    def _corrected(self, image: Tensor, probabilities: Tensor) -> Tensor:
        """Probabilities (1,K+1,H',W') with corrected objects, where the next frame is due for correction."""
        due = (self._frame + 1) % self.options.mem_every == 0
        if self._correct is None or not due or not self.objects:
            return probabilities
        return torch.cat([probabilities[:, :1], self._correct(image, probabilities[:, 1:], self.objects)], 1)

    def _memorise(
        self, image: Tensor, masks: Tensor, query: QueryFeatures | None, *, annotated: bool = False
    ) -> MemoryEntry | None:
        """The next frame's entry; None where nobody will look at it."""
        used, scored = (True, True) if annotated else self.memory.uses(self._frame + 1)
        if not masks.shape[1] or not (used or self._score_all):
            return None
        return self._steps.memorise(image, masks, query, scored=scored or self._score_all)

    def _remember(self, entry: MemoryEntry | None, annotated: Sequence[int]) -> None:
        """Take in new objects, remember the frame and report."""
        memory = self.memory
        memory.add([k for k in annotated if k not in self.objects])
        if entry is None:
            self.report = FrameReport(self._frame, self.objects, decided=Later(memory.pass_over))
        else:
            scores = scores_of(entry)
            decide = partial(self._decide, self._frame, entry, annotated, scores)
            self.report = FrameReport(self._frame, self.objects, scores or Later(tuple), Later(decide))
        if annotated or not memory.uses(self._frame)[1]:
            _ = self.report.banks  # no score decides

    @torch.inference_mode()
    def _decide(
        self, frame: int, entry: MemoryEntry, annotated: Sequence[int], scores: Scores | None
    ) -> tuple[BankReport, ...]:
        """Let the memory have a frame."""
        return self._memory.update(frame, entry, annotated, scores)

    def _check_begun(self) -> None:
        if not self.objects:
            raise ValueError("the first frame needs a mask")

    def _check_objects(self, rows: int, ids: Sequence[int]) -> None:
        """The mask must have one row for each object of the stream."""
        known = self.objects
        if rows != len(ids):
            raise ValueError(f"mask has {rows} objects; the stream began with {len(ids)}")
        if known and ids != known:
            raise ValueError(f"mask has the objects {ids}; the stream began with {known}")


def compose(masks: Tensor, given: Tensor, rows: Sequence[int | None]) -> Tensor:
    """Put given masks into predicted ones; elsewhere a given mask pushes the others back.

    Args:
        masks: (B,K,H,W) in [0, 1].
        given: (B,J,H,W) in [0, 1].
        rows: the row of each given mask; None for a new one, which is put behind the others.

    Returns:
        (B,K+new,H,W).
    """
    composed = masks * (1 - given.amax(1, keepdim=True))
    for j, row in enumerate(rows):
        if row is not None:
            composed[:, row] = given[:, j]
    new = [j for j, row in enumerate(rows) if row is None]
    return torch.cat([composed, take_rows(given, new, 1)], 1) if new else composed


def check_mask(mask: Tensor, image: Tensor) -> None:
    """Raise ValueError for a mask that is not (K,H,W) with K > 0, of the size of the image, with values in [0, 1]."""
    if mask.ndim != 3 or mask.shape[0] == 0:
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected (objects, height, width)")
    if mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(f"mask {tuple(mask.shape[-2:])} and frame {tuple(image.shape[-2:])} differ in size")
    low, high = torch.stack(mask.aminmax()).tolist()
    if not (low >= 0 and high <= 1):
        raise ValueError("mask values must lie in [0, 1]")
