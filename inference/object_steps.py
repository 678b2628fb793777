"""The steps of a frame whose work grows with the number of objects."""

import torch
from torch import Tensor

from inference.chunks import ObjectChunks
from model.layers.window import choose_window, with_evidence
from model.memory.objects import ObjectMemory, concatenate
from model.memory.read import MemoryEntry, MemoryReader
from model.memory_network import MemoryNetwork, QueryFeatures, sum_of_others


class ObjectSteps:
    """Segments and memorises the objects of a frame, a chunk of them at a time.

    Args:
        network: a network of the STM family.
        reader: how the memory is read.
        object_chunk: most objects at a time; None takes all.
        decode_roi: decode only where objects can be, see `choose_window`.

    Raises:
        ValueError: the chunk is below 1, or the network cannot decode a part of a frame.
    """

    def __init__(
        self, network: MemoryNetwork, reader: MemoryReader, *, object_chunk: int | None, decode_roi: bool
    ) -> None:
        if decode_roi and not network.decodes_windows:
            raise ValueError(f"{network.arch} cannot decode a part of a frame; leave out decode_roi")
        self.network = network
        self.reader = reader
        self.decode_roi = decode_roi
        self.chunks = ObjectChunks(reader, object_chunk)

    def segment(self, query: QueryFeatures, memory: ObjectMemory, previous: Tensor) -> Tensor:
        """Logits (B,K,H,W) of all objects.

        Args:
            query: of the frame.
            memory: of the objects.
            previous: probabilities (1,K+1,H,W) of the frame before.
        """

        def segment(start: int, stop: int) -> Tensor:
            memories = memory.memories(start, stop)
            if not self.decode_roi:
                return self.network.segment(query, memories, self.reader)
            readout = self.network.read(query, memories, self.reader)
            window = choose_window(readout[:, :, -1], previous[:, 1 + start : 1 + stop])
            return self.network.decode(query, readout[:, :, :-1], window)

        return torch.cat(self.chunks.map(segment, len(memory.objects)), 1)

    def memorise(
        self, image: Tensor, masks: Tensor, query: QueryFeatures | None, *, scored: bool = True
    ) -> MemoryEntry:
        """The entry of a frame (1,3,H,W) with the masks (1,K,H,W) of all objects, their quality if wanted."""
        others = sum_of_others(masks)

        def memorise(start: int, stop: int) -> MemoryEntry:
            own = masks[:, start:stop]
            entry = self.network.encode_memory(image, own, query, others[:, start:stop], scored=scored)
            return with_evidence(entry, own) if self.decode_roi else entry

        return concatenate(self.chunks.map(memorise, masks.shape[1]))
