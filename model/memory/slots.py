"""Where the memory lies: all slots side by side."""

from collections.abc import Sequence
from copy import copy

from torch import Tensor

from model.memory.read import Memory, MemoryEntry, has_shared_keys

FIRST_SLOTS = 64


class SlotBuffers:
    """Keys and values of all slots in two tensors, written in place; keys that objects share, once.

    Args:
        slots: how many will be needed; room is made for the first of them at once, for more when they come.
    """

    def __init__(self, slots: int) -> None:
        self._slots = min(slots, FIRST_SLOTS)
        self._key: Tensor | None = None
        self._value: Tensor | None = None

    def write(self, index: int, entry: MemoryEntry) -> None:
        """Write an entry into a slot; the buffers double when the slot lies behind their end."""
        self._positions, self._objects = entry.value.shape[2], entry.value.shape[1]
        if self._key is None:
            self._key_rows = 1 if has_shared_keys(entry.key) else self._objects
        key = entry.key[:, : self._key_rows]
        if self._key is None or index >= self._slots:
            self._slots = self._slots if self._key is None else 2 * self._slots
            self._key, self._value = self._grown(self._key, key), self._grown(self._value, entry.value)
        at = slice(index * self._positions, (index + 1) * self._positions)
        self._key[:, :, at] = key
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
        return Memory(self._key[:, :, :end].expand(-1, self._objects, -1, -1), self._value[:, :, :end])

    def select(self, objects: Sequence[int]) -> "SlotBuffers":
        """A copy that holds some of the objects, named by their rows."""
        chosen = copy(self)
        if self._key is not None:
            shared = self._key_rows < self._objects
            chosen._key = self._key.clone() if shared else self._key[:, list(objects)]
            chosen._value, chosen._objects = self._value[:, list(objects)], len(objects)
            chosen._key_rows = chosen._key.shape[1]
        return chosen
