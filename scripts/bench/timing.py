"""Timing work on a device."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from util.device import synchronise


def measure(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds that the work takes on the device, and its result."""
    synchronise(device)
    begin = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - begin, result


def busy_share(work: Callable[[], Any], device: torch.device) -> float:
    """Share of some work's time in which a CUDA device computes; the profiler that sees it slows the host."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        seconds, _ = measure(work, device)
    events = (event for event in profiler.events() if event.device_type == DeviceType.CUDA)
    return covered((event.time_range.start, event.time_range.end) for event in events) / 1e6 / seconds


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of what spans (start, end) cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class PartClock:
    """Times the calls of some methods of an object.

    Args:
        target: its methods are replaced by timed ones.
        methods: names of the methods, by the names of the parts.
        device: on which they work.
    """

    def __init__(self, target: object, methods: Mapping[str, str], device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._device = device
        for part, method in methods.items():
            setattr(target, method, self._timed(part, getattr(target, method)))

    def _timed(self, part: str, method: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            seconds, result = measure(lambda: method(*args, **kwargs), self._device)
            self.seconds[part].append(seconds)
            return result

        return call

    def medians(self, warmup: int) -> dict[str, float]:
        """Median seconds of each part, the first `warmup` calls left out."""
        return {part: statistics.median(seconds[warmup:]) for part, seconds in self.seconds.items()}
