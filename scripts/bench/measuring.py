"""Measuring work on a device: its time, alone or in turns with other work, and how far the masks of two runs agree."""

import multiprocessing
import statistics
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from util.device import synchronise

Subject = Callable[..., Generator[Any, bool, None]]


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


class Failure(NamedTuple):
    """What a subject raised, and where."""

    error: Exception
    trace: str


class Turns:
    """A generator in a process of its own, which goes on when it is its turn and waits in between.

    Several that take turns are slowed alike by what else the machine does.

    Args:
        subject: generator function at the top of a module. At each yield it is sent whether another turn follows; if
            not, it yields once more. It must enter inference mode itself, since the decorator leaves that at every
            yield and takes autocast with it.
        args: its arguments.

    Attributes:
        first: what it yielded before its first turn.

    Raises:
        Exception: whatever the generator raises, here and in all methods.
    """

    def __init__(self, subject: Subject, *args: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_answer, args=(theirs, subject, args), daemon=True)
        self._process.start()
        theirs.close()
        self.first = self._answer()

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join()

    def next(self) -> Any:
        """Give it a turn; what it yields."""
        return self._ask(True)

    def last(self) -> Any:
        """What it yields in the end."""
        return self._ask(False)

    def _ask(self, again: bool) -> Any:
        self._pipe.send(again)
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a measuring process ended with exit code {self._process.exitcode}") from None
        if isinstance(answer, Failure):
            raise answer.error from RuntimeError(answer.trace)
        return answer


def _answer(pipe: Connection, subject: Subject, args: tuple) -> None:
    """Let the subject answer as long as somebody asks."""
    try:
        generator = subject(*args)
        answer = next(generator)
        while True:
            pipe.send(answer)
            try:
                again = pipe.recv()
            except EOFError:
                return
            answer = generator.send(again)
    except Exception as error:
        pipe.send(Failure(error, traceback.format_exc()))


def disagreement(ours: np.ndarray, expected: np.ndarray) -> float:
    """Share of the object pixels of either that differ."""
    pixels = (ours > 0) | (expected > 0)
    return float((ours != expected)[pixels].mean())
