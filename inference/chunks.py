"""The steps of a frame whose work grows with the number of objects, a few objects at a time if memory is short."""

import logging
from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.decoder import CELL, Window
from model.memory.bank import concatenate
from model.memory.read import Memory, MemoryEntry, MemoryReader
from model.memory_network import MemoryNetwork, QueryFeatures, sum_of_others

MARGIN, SEEN, MOST = 4, 0.05, 0.7  # of a window: cells around objects, least coverage of a cell, share of the frame
LEAST_ELEMENTS = 1 << 14
# What a stream needs, measured in copies of the largest maps; and the affinities that it may hold at once.
FLOAT_BYTES = 4
DECODER_COPIES = 6.5
FRAME_COPIES = 9
READ_COPIES = 4
LEAST_PLANNED, MOST_PLANNED = 1 << 16, 1 << 24

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class ObjectSteps:
    """Segments and memorises the objects of a frame, a chunk of them at a time.

    Takes smaller chunks from the moment that a GPU runs out of memory.

    Args:
        network: a network of the STM family.
        reader: how the memory is read; its chunks of query positions shrink too.
        object_chunk: most objects at a time; None takes all.
        decode_roi: decode only where objects can be, see `choose_window`.

    Raises:
        ValueError: the chunk is below 1, or the network cannot decode a part of a frame.
    """

    def __init__(
        self, network: MemoryNetwork, reader: MemoryReader, *, object_chunk: int | None, decode_roi: bool
    ) -> None:
        if object_chunk is not None and object_chunk < 1:
            raise ValueError(f"object chunk is {object_chunk}; it must be at least 1, or None for all")
        if decode_roi and not network.decodes_windows:
            raise ValueError(f"{network.arch} cannot decode a part of a frame; leave out decode_roi")
        self.network = network
        self.reader = reader
        self.object_chunk = object_chunk
        self.decode_roi = decode_roi

    def segment(
        self, query: QueryFeatures, memories: Callable[[int, int], Sequence[Memory]], previous: Tensor
    ) -> Tensor:
        """Logits (B,K,H,W) of all objects.

        Args:
            query: of the frame.
            memories: gives the memories of the objects in the rows start..stop-1.
            previous: probabilities (1,K+1,H,W) of the frame before.

        Raises:
            torch.OutOfMemoryError: a single object does not fit either.
        """

        def segment(start: int, stop: int) -> Tensor:
            own = previous[:, 1 + start : 1 + stop]
            if not self.decode_roi:
                return self.network.segment(query, memories(start, stop), self.reader, own, others[:, start:stop])
            parts = [self.reader.with_coverage(memory, query.key) for memory in memories(start, stop)]
            readout, coverage = (torch.cat(part, 1) for part in zip(*parts, strict=True))
            window = choose_window(coverage.squeeze(2), own)
            return self.network.decode(query, self.network.guide(readout, own, others[:, start:stop]), window)

        others = sum_of_others(previous[:, 1:])
        return torch.cat(self.in_chunks(segment, previous.shape[1] - 1), 1)

    def memorise(
        self, image: Tensor, masks: Tensor, query: QueryFeatures | None, *, scored: bool = True
    ) -> MemoryEntry:
        """The entry of a frame (1,3,H,W) with the masks (1,K,H,W) of all objects, their quality if wanted.

        Raises:
            torch.OutOfMemoryError: a single object does not fit either.
        """
        others = sum_of_others(masks)

        def memorise(start: int, stop: int) -> MemoryEntry:
            own = masks[:, start:stop]
            entry = self.network.encode_memory(image, own, query, others[:, start:stop], scored=scored)
            return entry._replace(coverage=cell_coverage(own, entry.value.dtype)) if self.decode_roi else entry

        return concatenate(self.in_chunks(memorise, masks.shape[1]))

    def in_chunks(self, function: Callable[[int, int], Result], objects: int) -> list[Result]:
        """The results of `function(start, stop)` for chunks of objects that follow each other."""
        results: list[Result] = []
        start = 0
        while start < objects:
            stop = objects if self.object_chunk is None else min(objects, start + self.object_chunk)
            try:
                results.append(function(start, stop))
                start = stop
                continue
            except torch.OutOfMemoryError:
                if stop - start == 1 and self.reader.max_elements <= LEAST_ELEMENTS:
                    raise
            self._halve(stop - start)
        return results

    def _halve(self, tried: int) -> None:
        """Make chunks smaller; what the failed call held is free by now."""
        self.object_chunk = max(1, tried // 2)
        self.reader.max_elements = max(LEAST_ELEMENTS, self.reader.max_elements // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "out of memory: going on with %d objects and %d affinities at a time",
            self.object_chunk,
            self.reader.max_elements,
        )


def cell_coverage(masks: Tensor, dtype: torch.dtype) -> Tensor:
    """How much of each cell of 16x16 pixels masks (B,K,H,W) cover, (B,K,h*w,1), in [0, 1]."""
    return F.avg_pool2d(masks.to(dtype), CELL).flatten(2).unsqueeze(3)


def choose_window(coverage: Tensor, previous: Tensor) -> Window | None:
    """Where a frame is worth decoding.

    Args:
        coverage: (B,K,h,w), the share of each cell that the memory takes for the object.
        previous: masks of the previous frame, (B,K,H,W) in [0, 1].

    Returns:
        All cells that an object may touch with a margin of 4 cells; None for the whole frame, where that is more than
        70 % of it or no cell is found.
    """
    height, width = coverage.shape[-2:]
    seen = torch.maximum(coverage, F.max_pool2d(previous.to(coverage.dtype), CELL)) > SEEN
    seen = seen.flatten(0, 1).any(0)
    ends = []
    for line in (seen.any(1), seen.any(0)):
        place = torch.arange(len(line), device=line.device)
        ends += [place.where(line, len(line)).amin(), place.where(line, -1).amax()]
    top, bottom, left, right = torch.stack(ends).tolist()  # a device is waited for once
    if bottom < 0:
        return None
    window = Window(
        max(0, top - MARGIN), max(0, left - MARGIN), min(height, bottom + 1 + MARGIN), min(width, right + 1 + MARGIN)
    )
    area = (window.bottom - window.top) * (window.right - window.left)
    return None if area > MOST * height * width else window


class Chunks(NamedTuple):
    """Most objects, and most affinities, worked on at a time."""

    objects: int
    elements: int


def needed_bytes(
    network: MemoryNetwork, size: tuple[int, int], objects: int, slots: int, stored_bytes: int = FLOAT_BYTES
) -> tuple[int, int]:
    """Rough needs of a stream beside the weights: for the frame and the memory, and for each object of a chunk.

    Args:
        network: a network of the STM family.
        size: height and width of the frames that the network sees.
        objects: in the video.
        slots: memory frames of an object.
        stored_bytes: of a number in memory: 4, or 2 where it is made by autocast. Everything else is counted as
            float32, which CPUs go back to under autocast; a GPU needs less.
    """
    pixels = prod(side + -side % 16 for side in size)
    bank = objects * slots * (pixels // 256) * network.memory_channels * stored_bytes
    masks = FRAME_COPIES * (objects + 1) * pixels * FLOAT_BYTES
    stem = FRAME_COPIES * 64 * (pixels // 4) * FLOAT_BYTES
    last = getattr(network.decoder, "up_8_4", network.decoder)
    width = max(conv.out_channels for conv in last.modules() if isinstance(conv, nn.Conv2d))
    return bank + masks + stem, int(DECODER_COPIES * width * (pixels // 16) * FLOAT_BYTES)


def plan_chunks(
    network: MemoryNetwork,
    size: tuple[int, int],
    objects: int,
    slots: int,
    available_bytes: float,
    stored_bytes: int = FLOAT_BYTES,
) -> Chunks | None:
    """Chunks with which a stream stays within the available memory; None where it cannot.

    Args:
        network, size, objects, slots: see `needed_bytes`.
        available_bytes: beside the weights and whatever else is held already.
        stored_bytes: see `needed_bytes`.
    """
    fixed, each = needed_bytes(network, size, objects, slots, stored_bytes)
    free = available_bytes - fixed
    least = each + READ_COPIES * FLOAT_BYTES * LEAST_PLANNED
    if free < least:
        return None
    elements = int(min(MOST_PLANNED, max(LEAST_PLANNED, min(free / 4, free - each) / (READ_COPIES * FLOAT_BYTES))))
    left = free - READ_COPIES * FLOAT_BYTES * elements
    return Chunks(max(1, min(objects, int(left // each))), elements)
