"""What a case is, how it is run, and how its outcome is judged.

A case is a command on files of a user. It may end in three ways: RIGHT, the results are what the files mean; SAID, the
same and a line names the file or the surprise; REFUSED, exit code 2 and one line that names it. Which of them a case
allows, it says. All other ends are faults: results that are wrong without a word, a traceback, a hang, a user's file
that is changed or gone, a file that appears among the inputs, something half-written.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from util.errors import run

RIGHT, SAID, REFUSED = "right", "said", "refused"
ANY = frozenset({RIGHT, SAID, REFUSED})
PATIENCE = 60.0  # seconds: nothing takes so long but what waits for ever
TEMPORARY = (".tmp", ".part", "partial")


@dataclass
class Scene:
    """Where a case is made.

    Attributes:
        folder: of the case; commands run in it.
        rng: all that is random in the case.
        model: a checkpoint of a tiny network.
        ours: files that a run before wrote, which may be replaced.
    """

    folder: Path
    rng: np.random.Generator
    model: Path
    ours: set[Path] = field(default_factory=set)

    @property
    def inputs(self) -> Path:
        """The folder of the user's files."""
        return self.folder / "in"

    @property
    def output(self) -> Path:
        """The usual folder for results."""
        return self.folder / "out"

    def pick(self, things: Sequence):
        """One of these."""
        return things[int(self.rng.integers(len(things)))]


@dataclass
class Case:
    """A command on files of a user, and how it may end.

    Attributes:
        script: the module whose `main` is run, or a call.
        arguments: its command line.
        allowed: of RIGHT, SAID, REFUSED.
        right: looks at the results and says what is wrong with them; "" for nothing. It is given the frames that
            the network saw.
        words: one of them must stand in a line that refuses something.
        says: one of them must stand in a line that says something; by default `words`.
        or_said: like `right`, another reading of the files that is right if it is said.
        result: a folder or file that must not be there, or be as before, after a refusal.
        untouched: folders in which no file may appear.
        refusal_code: the exit code of a refusal.
    """

    script: ModuleType | Callable[[], object]
    arguments: Sequence[object]
    allowed: frozenset[str] | set[str]
    right: Callable[[list[np.ndarray]], str]
    words: Sequence[str] = ()
    says: Sequence[str] = ()
    or_said: Callable[[list[np.ndarray]], str] | None = None
    result: Path | None = None
    untouched: Sequence[Path] | None = None
    refusal_code: int = 2


@dataclass(frozen=True)
class Outcome:
    """How a case ended, why that is not allowed ("" if it is), and what was printed."""

    kind: str
    fault: str = ""
    text: str = ""


def judge(case: Case, scene: Scene, seen: list[np.ndarray], texts: Callable[[], tuple[str, str]]) -> Outcome:
    """Run a case and look at everything it left.

    Args:
        case: made in `scene`.
        scene: its files.
        seen: filled by the run with the frames (H, W, 3) that the network saw.
        texts: gives what was printed to stdout and to stderr since it was asked last.
    """
    before = snapshot(scene.folder, scene.ours)
    texts()
    ended = _run(case)
    out, err = texts()
    text = f"{out}{err}"
    kind, fault = _kind(case, ended, out, err, seen)
    lost = [str(path) for path, content in before.items() if snapshot_of(path) != content]
    if lost:
        return Outcome("lost", f"files of the user changed or gone: {lost[:3]}", text)
    new = [path for path in walk(scene.folder) if path not in before and path not in scene.ours]
    left = [str(path) for path in new if any(mark in path.name for mark in TEMPORARY)]
    if left:
        return Outcome("leftover", f"temporary files stay: {left[:3]}", text)
    untouched = [scene.inputs] if case.untouched is None else case.untouched
    strays = [str(path) for path in new if any(path.is_relative_to(folder) for folder in untouched)]
    if strays:
        return Outcome("stray", f"files appeared among the inputs: {strays[:3]}", text)
    if kind == REFUSED and case.result and any(path.is_relative_to(case.result) for path in new):
        return Outcome("half", f"refused, but {case.result} was written", text)
    if not fault and kind not in case.allowed:
        fault = f"ended as {kind}, allowed: {', '.join(sorted(case.allowed))}"
    return Outcome(kind, fault, text)


def _run(case: Case) -> BaseException | None:
    """What the command ended with; None if it came to its end."""
    main = case.script.main if isinstance(case.script, ModuleType) else case.script
    former, sys.argv = sys.argv, ["command", *map(str, case.arguments)]
    try:
        with time_limit(PATIENCE):
            run(main)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error
    finally:
        sys.argv = former
    return None


def _kind(case: Case, ended: BaseException | None, out: str, err: str, seen: list[np.ndarray]) -> tuple[str, str]:
    if isinstance(ended, TimeoutError):
        return "hang", f"no end after {PATIENCE:.0f} s"
    if ended is not None and not isinstance(ended, SystemExit):
        return "traceback", f"{type(ended).__name__}: {str(ended)[:200]}"
    if ended is not None and ended.code not in (0, None):
        return _refusal(case, ended.code, out, err)
    lines = [line for line in f"{out}\n{err}".splitlines() if any(word in line for word in case.says or case.words)]
    fault = case.right(seen)
    if not fault:
        return (SAID if lines else RIGHT), ""
    if case.or_said is not None and lines and not case.or_said(seen):
        return SAID, ""
    return ("wrong" if lines else "silent"), fault


def _refusal(case: Case, code: object, out: str, err: str) -> tuple[str, str]:
    lines = err.splitlines()
    if code == case.refusal_code == 1:
        lines = out.splitlines()
    elif code != case.refusal_code:
        return "traceback", f"exit code {code}"
    elif not lines or "error: " not in lines[-1]:
        return "mumbled", "the last line on stderr is no error"
    elif not lines[0].startswith("usage:"):
        bare = [line for line in lines if not any(word in line for word in case.words)]
        if bare:
            return "mumbled", f"lines that name none of {list(case.words)}: {bare[:2]}"
    if "unrecognized arguments" in err:
        return "mumbled", "an option is missing"
    if not any(word in line for word in case.words for line in lines):
        return "mumbled", f"no line names one of {list(case.words)}"
    return REFUSED, ""


def walk(folder: Path) -> Iterator[Path]:
    """All files and links below a folder; folders behind links are not entered."""
    for root, folders, names in os.walk(folder):
        yield from (Path(root, name) for name in names)
        yield from (Path(root, name) for name in folders if Path(root, name).is_symlink())


def snapshot(folder: Path, leave_out: set[Path] = frozenset()) -> dict[Path, str]:
    """The content of each file below a folder."""
    return {path: snapshot_of(path) for path in walk(folder) if path not in leave_out}


def snapshot_of(path: Path) -> str:
    """The content of a file in short, the target of a link, or "" if it is not there."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "special" if path.exists() else ""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds."""

    def ring(number: int, frame: object) -> None:
        for path in walk(Path.cwd()):
            if path.is_fifo():  # whoever waits for its other end must not be waited for
                with suppress(OSError):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        raise TimeoutError

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
