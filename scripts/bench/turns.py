"""Measuring several subjects in turns, so that what slows the machine for a while slows all of them."""

import multiprocessing
import traceback
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple

Subject = Callable[..., Generator[Any, bool, None]]


class Failure(NamedTuple):
    """What a subject raised, and where."""

    error: Exception
    trace: str


class Turns:
    """A generator in a process of its own, which goes on when it is its turn and waits in between.

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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType) -> None:
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
