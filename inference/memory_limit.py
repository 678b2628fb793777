"""How many objects and query positions fit into a given memory at a time."""

from math import prod
from typing import NamedTuple

from torch import nn

FLOAT_BYTES = 4
DECODER_COPIES = 6.5
FRAME_COPIES = 9
READ_COPIES = 4
LEAST_ELEMENTS, MOST_ELEMENTS = 1 << 16, 1 << 24


class Chunks(NamedTuple):
    """Most objects, and most affinities, worked on at a time."""

    objects: int
    elements: int


def needed_bytes(network: nn.Module, size: tuple[int, int], objects: int, slots: int) -> tuple[int, int]:
    """Rough needs of a stream beside the weights: for the frame and the memory, and for each object of a chunk.

    Args:
        network: with `memory_channels` and a `decoder` of convolutions.
        size: height and width of the frames that the network sees.
        objects: in the video.
        slots: memory frames of an object.
    """
    pixels = prod(side + -side % 16 for side in size)
    bank = objects * slots * (pixels // 256) * network.memory_channels * FLOAT_BYTES
    masks = FRAME_COPIES * (objects + 1) * pixels * FLOAT_BYTES
    stem = FRAME_COPIES * 64 * (pixels // 4) * FLOAT_BYTES
    last = getattr(network.decoder, "up_8_4", network.decoder)
    width = max(conv.out_channels for conv in last.modules() if isinstance(conv, nn.Conv2d))
    return bank + masks + stem, int(DECODER_COPIES * width * (pixels // 16) * FLOAT_BYTES)


def plan_chunks(
    network: nn.Module, size: tuple[int, int], objects: int, slots: int, available_bytes: float
) -> Chunks | None:
    """Chunks with which a stream stays within the available memory; None where it cannot.

    Args:
        network, size, objects, slots: see `needed_bytes`.
        available_bytes: beside the weights and whatever else is held already.
    """
    fixed, each = needed_bytes(network, size, objects, slots)
    free = available_bytes - fixed
    least = each + READ_COPIES * FLOAT_BYTES * LEAST_ELEMENTS
    if free < least:
        return None
    elements = int(min(MOST_ELEMENTS, max(LEAST_ELEMENTS, min(free / 4, free - each) / (READ_COPIES * FLOAT_BYTES))))
    left = free - READ_COPIES * FLOAT_BYTES * elements
    return Chunks(max(1, min(objects, int(left // each))), elements)
