"""What every script does before it imports anything else, by importing this.

Ctrl-C while the libraries load ends a script without a traceback. Standard streams that are closed lead nowhere:
without that, the next file to be opened would take their number, and what a library prints would end up in it.
"""

import os
import sys
from types import TracebackType

INTERRUPTED = 130


def end_quietly(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """A hook for errors that nobody catches: an interrupt is the user's wish, anything else is shown."""
    if issubclass(kind, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.__excepthook__(kind, error, traceback)


def open_closed_streams() -> None:
    """Open the null device in place of the standard streams that are closed; processes started later have it too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 (the lowest free number is its own)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


sys.excepthook = end_quietly
open_closed_streams()
