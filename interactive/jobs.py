"""What takes long, one at a time beside the page: propagation and exports, with progress, to be stopped at any time."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any

from util.errors import describe

PATIENCE = 5.0  # seconds that a job waits for a person's click to be answered

logger = logging.getLogger(__name__)


class Busy(Exception):
    """Something else is going on; the message says what to do."""


@dataclass(frozen=True)
class Progress:
    """How far a job has come.

    Attributes:
        number: of the job.
        kind: what it does.
        state: `running`, `stopping`, `done`, `stopped` or `failed`.
        done, total: steps.
        message: for people; why it failed, or what it wrote.
    """

    number: int
    kind: str
    state: str = "running"
    done: int = 0
    total: int = 0
    message: str = ""


class Listener:
    """A page that is told what has changed; what changes faster than it reads is told once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()
        self._woken = asyncio.Event()
        self._frames: set[int] = set()
        self._all = False

    def tell(self, frames: set[int], everything: bool) -> None:
        """Something has changed: these frames, or more than that."""
        with self._lock:
            self._frames |= frames
            self._all |= everything
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def changes(self, patience: float) -> tuple[set[int], bool]:
        """Wait for changes, at most so many seconds: the frames, and whether there is more than that."""
        try:
            await asyncio.wait_for(self._woken.wait(), patience)
        except asyncio.TimeoutError:
            return set(), False
        self._woken.clear()
        with self._lock:
            frames, everything = self._frames, self._all
            self._frames, self._all = set(), False
        return frames, everything


class Desk:
    """Runs jobs and tells the pages what has changed.

    Attributes:
        progress: of the present or the latest job; None before the first.
        closed: whether nobody is to be told anything any more.
    """

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.closed = False
        self._listeners: list[Listener] = []
        self._lock = Lock()
        self._stop = Event()
        self._free = Event()
        self._free.set()
        self._people = 0
        self._thread: Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether a job is at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, kind: str, work: Callable[["Desk"], str], total: int) -> None:
        """Begin a job in the background.

        Args:
            kind: what it does.
            work: does it, calls `advance`, and asks `cancelled`; returns what is to be said at the end.
            total: steps.

        Raises:
            Busy: another one is at work.
        """
        with self._lock:
            if self.is_running:
                raise Busy("something is running already; stop it first")
            self._stop.clear()
            number = 1 if self.progress is None else self.progress.number + 1
            self.progress = Progress(number, kind, total=total)
            self._thread = Thread(target=self._run, args=(work,), name=kind, daemon=True)
            self._thread.start()
        self.tell(everything=True)

    def stop(self) -> None:
        """Ask the job to end; what it has saved stays."""
        self._stop.set()
        if self.is_running:
            self._change(state="stopping")
            self.tell()

    def close(self) -> None:
        """Ask the job to end, and let the pages go."""
        self.closed = True
        self.stop()
        self.tell()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until no job is at work."""
        if self._thread is not None:
            self._thread.join(seconds)

    def cancelled(self) -> bool:
        """Whether the job is to end; waits while a person is being answered."""
        self._free.wait(PATIENCE)
        return self._stop.is_set()

    def advance(self, done: int, total: int, frame: int | None = None) -> None:
        """So many steps are done; a frame has changed."""
        self._change(done=done, total=total)
        self.tell(set() if frame is None else {frame})

    @contextmanager
    def first(self) -> Iterator[None]:
        """While this is entered, a person is answered, and the job waits."""
        with self._lock:
            self._people += 1
            self._free.clear()
        try:
            yield
        finally:
            with self._lock:
                self._people -= 1
                if not self._people:
                    self._free.set()

    def listen(self) -> Listener:
        """A listener of the running event loop; to be given to `leave` at the end."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Tell this one nothing any more."""
        with self._lock:
            self._listeners.remove(listener)

    def tell(self, frames: set[int] | None = None, *, everything: bool = False) -> None:
        """Tell all pages that frames have changed, or more than that."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.tell(frames or set(), everything)

    def _run(self, work: Callable[["Desk"], str]) -> None:
        try:
            message = work(self)
            self._change(state="stopped" if self._stop.is_set() else "done", message=message)
        except Exception as error:  # whatever it is: the page says it, and the session goes on
            said = describe(error)
            if said is None:
                logger.exception("a job failed")
                said = f"an error of the program ({type(error).__name__}: {error}); what was saved is safe"
            self._change(state="stopped" if self._stop.is_set() else "failed", message=said)
        self.tell(everything=True)

    def _change(self, **changes: Any) -> None:
        assert self.progress is not None, "a job has begun"
        self.progress = replace(self.progress, **changes)
