"""Numbers on a command line, each within a range."""

import argparse
import math
from collections.abc import Callable

LARGEST = 2**31 - 1
LARGEST_SIDE = 16384  # pixels
STRIDE = 16  # pixels; the smallest side that a network can see


def whole(low: int = -LARGEST, high: int = LARGEST) -> Callable[[str], int]:
    """Reads a whole number from `low` to `high`, for `type` of an argument."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a whole number from {low} to {high}")
        return value

    return read


def number(low: float = -1e12, high: float = 1e12, *, above: bool = False) -> Callable[[str], float]:
    """Reads a finite number from `low` to `high`, for `type` of an argument; with `above`, `low` itself is refused."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or (above and value == low):
            wanted = f"above {low:g}, at most" if above else f"from {low:g} to"
            raise argparse.ArgumentTypeError(f"{text:.40} is not a number {wanted} {high:g}")
        return value

    return read


positive = whole(1)
pixels = whole(STRIDE, LARGEST_SIDE)
workers = whole(1, 1024)
share = number(0, 1)
above_zero = number(0, above=True)
