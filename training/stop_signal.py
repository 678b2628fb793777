"""Ending a run between two iterations when the system or the user asks for it."""

import signal
from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """While it is entered, SIGTERM and SIGINT are remembered and not obeyed; a second SIGINT interrupts at once.

    Attributes:
        requested: whether one of them has come.
        number: which one; SIGTERM where another process of the run was asked.
    """

    def __init__(self) -> None:
        self.requested = False
        self.number = int(signal.SIGTERM)

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._remember) for number in NUMBERS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.number = True, number


def ignore_stop_signals() -> None:
    """For loader processes: they end when the process that they serve ends."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
