"""Showing how far a run has come."""

import sys
from types import TracebackType
from typing import TextIO

import progressbar


class Progress:
    """A bar on a terminal; elsewhere one line on standard output for each finished part.

    Args:
        total: steps of the whole run; 0 where they are not known.
        stream: where the bar is drawn if that is a terminal; standard error by default.
        in_bytes: whether a step is a byte; the bar then shows sizes and the speed.
    """

    def __init__(self, total: int, stream: TextIO | None = None, *, in_bytes: bool = False) -> None:
        stream = sys.stderr if stream is None else stream
        self._bar: progressbar.ProgressBar | None = None
        if stream.isatty():
            count = [progressbar.DataSize(), " ", progressbar.AdaptiveTransferSpeed()]
            widgets = [
                progressbar.Variable("part", format="{formatted_value}", width=20),
                *(" ", *(count if in_bytes else [progressbar.SimpleProgress()])),
                *(" ", progressbar.Bar(), " ", progressbar.ETA()),
            ]
            self._bar = progressbar.ProgressBar(
                max_value=total or progressbar.UnknownLength, widgets=widgets, fd=stream
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.finish(dirty=error is not None)

    def advance(self, part: str, steps: int = 1) -> None:
        """So many steps of the part named `part` are done."""
        if self._bar is not None:
            self._bar.update(self._bar.value + steps, part=part)

    def part_done(self, line: str) -> None:
        """A part is finished; `line` says so where no bar is drawn."""
        if self._bar is None:
            print(line, flush=True)
