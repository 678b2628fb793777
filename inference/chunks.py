"""Working on a few objects at a time, so that working memory is bounded."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from model.memory.read import MemoryReader

LEAST_ELEMENTS = 1 << 14
Result = TypeVar("Result")


class ObjectChunks:
    """Calls a function for chunks of objects; takes smaller ones from the moment that a GPU runs out of memory.

    Args:
        reader: reads the memory; its chunks of query positions shrink too.
        size: most objects at a time; None takes all.

    Raises:
        ValueError: the size is below 1.
    """

    def __init__(self, reader: MemoryReader, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"object chunk is {size}; it must be at least 1, or None for all")
        self.reader = reader
        self.size = size

    def map(self, function: Callable[[int, int], Result], objects: int) -> list[Result]:
        """The results of `function(start, stop)` for chunks of objects that follow each other.

        Raises:
            torch.OutOfMemoryError: the smallest chunk does not fit either.
        """
        results: list[Result] = []
        start = 0
        while start < objects:
            stop = objects if self.size is None else min(objects, start + self.size)
            try:
                results.append(function(start, stop))
                start = stop
                continue
            except torch.OutOfMemoryError:
                if not self._can_halve(stop - start):
                    raise
            self._halve(stop - start)
        return results

    def _can_halve(self, tried: int) -> bool:
        return tried > 1 or self.reader.max_elements > LEAST_ELEMENTS

    def _halve(self, tried: int) -> None:
        """Make chunks smaller; what the failed call held is free by now."""
        self.size = max(1, tried // 2)
        self.reader.max_elements = max(LEAST_ELEMENTS, self.reader.max_elements // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logging.getLogger(__name__).warning(
            "out of memory: going on with %d objects and %d affinities at a time", self.size, self.reader.max_elements
        )
