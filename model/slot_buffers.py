"""Where the memory lies: all slots side by side."""

from collections.abc import Sequence
from copy import copy

from torch import Tensor

from model.memory_read import Memory, MemoryEntry


class SlotBuffers:
    """Keys and values of all slots in two preallocated tensors, written in place."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._key: Tensor | None = None
        self._value: Tensor | None = None

    def write(self, index: int, entry: MemoryEntry) -> None:
        """Write an entry into a slot; the buffers double when the slot lies behind their end."""
        self._positions = entry.key.shape[2]
        if self._key is None or index >= self._slots:
            self._slots = self._slots if self._key is None else 2 * self._slots
            self._key, self._value = self._grown(self._key, entry.key), self._grown(self._value, entry.value)
        at = slice(index * self._positions, (index + 1) * self._positions)
        self._key[:, :, at] = entry.key
        self._value[:, :, at] = entry.value

    def _grown(self, old: Tensor | None, like: Tensor) -> Tensor:
        batch, objects, positions, channels = like.shape
        new = like.new_empty(batch, objects, self._slots * positions, channels)
        if old is not None:
            new[:, :, : old.shape[2]] = old
        return new

    def view(self, slots: int) -> Memory:
        """The first `slots` slots, without a copy."""
        end = slots * self._positions
        return Memory(self._key[:, :, :end], self._value[:, :, :end])

    def select(self, objects: Sequence[int]) -> "SlotBuffers":
        """A copy that holds some of the objects, named by their rows."""
        chosen = copy(self)
        if self._key is not None:
            chosen._key, chosen._value = self._key[:, list(objects)], self._value[:, list(objects)]
        return chosen
