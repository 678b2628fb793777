"""Errors that a user can cause, and how a script reports them."""

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

BROKEN_PIPE = 141
NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "Invalid buffer size", "overflowed")


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
    return f"{error.strerror or error}{where}"


def _sentence(error: InputError) -> str:
    """The sentence itself: a loader process puts its traceback before it."""
    return str(error).strip().splitlines()[-1].removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")


def _ask_for_any_text() -> None:
    """Let names of any bytes be printed, and let a closed output be no fault."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run(main: Callable[[], None]) -> None:
    """Run a script: bad input prints one line to stderr and exits with code 2, a signal with 128 + its number.

    A reader of the output that goes away ends the script with the code of a broken pipe.
    """
    _ask_for_any_text()
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        message = _sentence(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be flushed has nowhere to go
        sys.exit(BROKEN_PIPE)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        message = "not enough memory; lower sizes or capacities, or pass --max_memory_gb where a script has it"
    except OSError as error:
        if error.errno is None:
            raise
        message = describe_os_error(error)
    except Stopped as stopped:
        print(f"stopped: {stopped}", flush=True)
        sys.exit(128 + stopped.number)
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
