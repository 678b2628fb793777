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
            value = int(text) if len(text) <= len(str(LARGEST)) + 1 else high + 1
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a whole number {_between(low, high)}")
        return value

    return read


def number(low: float = -1e12, high: float = 1e12) -> Callable[[str], float]:
    """Reads a finite number from `low` to `high`, for `type` of an argument."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a number {_between(low, high)}")
        return value

    return read


def _between(low: float, high: float) -> str:
    if high >= LARGEST:
        return f"of at least {low:g}" if low > -LARGEST else "of a sensible size"
    return f"from {low:g} to {high:g}"


positive = whole(1)
pixels = whole(STRIDE, LARGEST_SIDE)
share = number(0, 1)
above_zero = number(1e-9)
