"""Errors that a user can cause, and how a script reports them."""

import errno
import sys
from collections.abc import Callable


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


def run(main: Callable[[], None]) -> None:
    """Run a script: bad input prints one line to stderr and exits with code 2, a signal with 128 + its number."""
    try:
        main()
    except InputError as error:
        message = _sentence(error)
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
