"""Errors that a user can cause, how a script reports them, and how it ends when it is asked to stop."""

from util.startup import INTERRUPTED

import contextlib
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TextIO

# 128 + the number of SIGPIPE
READER_GONE = 141
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
NO_MEMORY = (
    "not enough memory",
    "out of memory",
    "can't allocate memory",
    "Insufficient memory",
    "Invalid buffer size",
    "Storage size calculation overflowed",
    "integer multiplication overflow",
    "can't start new thread",
)
LOST_PROCESS = ("DataLoader worker (pid", "process pool was terminated abruptly")


class InputError(Exception):
    """Input that cannot be used: one sentence that names the file and the remedy."""


class Stopped(Exception):
    """A run that ended early and orderly because of a signal.

    Args:
        number: of the signal.
        message: how to go on.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error, with the remedy where one is known."""
    where = f" {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left while writing{where}; free some space and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write or read{where} ({error.strerror}); check its permissions"
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return f"cannot use{where} ({error.strerror}); choose another path"
    if error.errno == errno.ENAMETOOLONG:
        return f"the name{where} is too long for the file system; choose a shorter one"
    if error.errno == errno.ENOMEM:
        return _memory_sentence(str(error))
    return f"{error.strerror or error}{where}"


def describe(error: Exception) -> str | None:
    """One line for what a user, a file or the machine can cause; None for a fault of the program."""
    text = str(error)
    line: str | None
    if isinstance(error, InputError):
        # A loader process puts its traceback before the sentence.
        line = text.strip().rpartition(f"\n{InputError.__module__}.{InputError.__name__}: ")[2]
    elif isinstance(error, OSError):
        line = None if error.errno is None else describe_os_error(error)
    elif isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        line = _memory_sentence(text)
    elif any(words in text for words in LOST_PROCESS):
        line = "a process of this run was ended from outside, most often for want of memory; ask for fewer workers"
    elif isinstance(error, RecursionError):
        line = f"a file of the input is nested too deeply to be read ({text}); look at its tables and JSON files"
    elif isinstance(error, UnicodeEncodeError):
        line = f"the name {error.object[:200]!r} holds what is no text and cannot be written; rename the file"
    else:
        line = None
    return None if line is None else _one_line(line)


def _memory_sentence(text: str) -> str:
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)|[Uu]nable to allocate ([\d.]+ ?\w+)", text)
    amount = f" for {asked[1] or asked[2]}" if asked else ""
    return f"there is not enough memory{amount}; ask for smaller frames, less memory or fewer objects, batch or workers"


def _one_line(text: str) -> str:
    """Names may hold line breaks and other control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


def _say(line: str, stream: TextIO) -> None:
    """One line, if anybody is there."""
    with contextlib.suppress(OSError):
        print(line, file=stream, flush=True)


def _close_output() -> None:
    """Let standard output lead nowhere, so that what is still to be written raises nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _finish(main: Callable[[], None]) -> None:
    """Call it, and write what it printed before it is believed to have succeeded."""
    try:
        main()
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def run(main: Callable[[], None]) -> None:
    """Run a script.

    Bad input prints one line to stderr and exits with code 2, a signal with 128 + its number. So does the end of the
    program that reads standard output, such as `head`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _finish(main)
    except Stopped as stopped:
        _say(f"stopped: {stopped}", sys.stdout)
        sys.exit(128 + stopped.number)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _close_output()
        _say("stopped: the program that reads the output has ended", sys.stderr)
        sys.exit(READER_GONE)
    except Exception as error:
        message = describe(error)
        if message is None:
            raise
    else:
        return
    try:
        sys.stdout.flush()
    except OSError:
        _close_output()
    _say(f"error: {message}", sys.stderr)
    sys.exit(2)


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
        self._before = {number: signal.signal(number, self._remember) for number in STOP_SIGNALS}
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
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
