"""Reading a few items ahead of their use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, depth: int = 4, threads: int = 2
) -> Generator[Result, None, None]:
    """Yield `read(item)` for every item, in order, while at most `depth` results wait in memory.

    Raises:
        Whatever `read` raises, at the place of the item that caused it.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        waiting: deque[Future[Result]] = deque(pool.submit(read, item) for item in islice(remaining, depth))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(read, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
