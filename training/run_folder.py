"""Where a training run writes: its folder, the record of how it was started, the samples that made trouble."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from util.errors import InputError
from util.files import atomic_path, make_output_folder, name_errors

ROOT = Path("saves")
STAMPED = re.compile(r"[^\W\d_]+\.?\d\d_\d\d\.\d\d\.\d\d_(.*)", re.DOTALL)  # Jan31_23.59.59_name
LONGEST_NAME = 100
ATTEMPTS = 60

logger = logging.getLogger(__name__)


class RunFolder:
    """Folder of a run, with its checkpoints and its arguments.

    Args:
        path: `saves/<stamp>_<name>`; see `new_run_folder` and `checkpoints_of`.

    Raises:
        InputError: it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self.path = make_output_folder(path)

    @property
    def checkpoint(self) -> Path:
        """The training checkpoint, for --load_model."""
        return self.path / f"{self.id}_checkpoint.pth"

    @property
    def previous(self) -> Path:
        """The training checkpoint before the last."""
        return self.path / f"{self.id}_previous.pth"

    @property
    def best(self) -> Path:
        """The weights that validated best."""
        return self.path / f"{self.id}_best.pth"

    def weights(self, iteration: int) -> Path:
        """The weights after an iteration, for evaluation and --load_network."""
        return self.path / f"{self.id}_{iteration}.pth"

    def note_samples(self, kind: str, rank: int, iteration: int, samples: Sequence[str]) -> Path:
        """Write down samples that made trouble, in a text file for each process.

        Args:
            kind: `unreadable` or `not_finite`.
            rank: number of the process.
            iteration: in which they came up.
            samples: names or messages.
        """
        path = self.path / f"{self.id}_{kind}_{rank}.txt"
        with name_errors(path), path.open("a") as file:
            file.writelines(f"{iteration}\t{sample}\n" for sample in samples)
        return path

    def record(self, arguments: dict[str, Any]) -> None:
        """Write the command, its arguments and the state of the code as JSON beside the checkpoints."""
        content = {"command": sys.argv, "arguments": arguments, "code": code_state()}
        with atomic_path(self.path / f"{self.id}_arguments.json", known=True) as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")


class BadSamples:
    """Samples that could not be read or spoilt an iteration: named, written down, and too many of them end the run.

    Each process counts its own.

    Args:
        folder: of the run, None to write nothing down.
        rank: number of this process.
        max_unreadable: most samples that may be unreadable; a sample counts once.
        max_not_finite: most iterations in a row with a loss or gradient that is not finite.
    """

    def __init__(self, folder: RunFolder | None, rank: int, *, max_unreadable: int, max_not_finite: int) -> None:
        self._folder = folder
        self._rank = rank
        self._max_unreadable, self._max_not_finite = max_unreadable, max_not_finite
        self._unreadable: set[str] = set()
        self._not_finite = 0

    def unreadable(self, iteration: int, messages: Sequence[str]) -> None:
        """Take what was wrong with the samples that were replaced in an iteration.

        Raises:
            InputError: there have been too many.
        """
        new = [message for message in dict.fromkeys(messages) if message not in self._unreadable]
        self._unreadable.update(new)
        for message in new:
            logger.warning("%s; another sample takes its place", message)
        where = self._note("unreadable", iteration, new)
        if len(self._unreadable) > self._max_unreadable:
            raise InputError(f"more than {self._max_unreadable} samples cannot be read{where}; mend the data")

    def updated(self) -> None:
        """An iteration went well."""
        self._not_finite = 0

    def not_finite(self, iteration: int, names: Sequence[str]) -> None:
        """Take the samples of an iteration that was skipped, its loss or gradient not being finite.

        Raises:
            InputError: there have been too many in a row.
        """
        self._not_finite += 1
        logger.warning("iteration %d: loss or gradient not finite, skipped (%s)", iteration, ", ".join(names))
        where = self._note("not_finite", iteration, names)
        if self._not_finite >= self._max_not_finite:
            raise InputError(
                f"{self._not_finite} iterations in a row had a loss or gradient that is not finite{where}; "
                "lower --lr, look at the samples, or train without --amp fp16"
            )

    def _note(self, kind: str, iteration: int, samples: Sequence[str]) -> str:
        if self._folder is None or not samples:
            return ""
        return f", see {self._folder.note_samples(kind, self._rank, iteration, samples)}"


def name_fault(name: str) -> str:
    """What keeps a text from being a run's name, as part of the names of files; nothing where it can be one."""
    if not name or len(name) > LONGEST_NAME or name != name.strip() or set(name) & set('/\\\0:*?"<>|\n\r\t'):
        return f"--id {name!r:.80} cannot name a folder; use letters, digits, - and _"
    return ""


def new_run_folder(name: str, root: Path = ROOT) -> str:
    """Make the folder of a run that begins now, `<root>/<stamp>_<name>`, which no other run has; its name.

    Raises:
        InputError: it cannot be made.
    """
    make_output_folder(root)
    start = datetime.now()
    for second in range(ATTEMPTS):
        run_id = f"{start + timedelta(seconds=second):%b%d_%H.%M.%S}_{name}"
        try:
            (root / run_id).mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(
                f"folder {root / run_id} cannot be made ({error.strerror}); choose another --id"
            ) from error
        return run_id
    raise InputError(f"{root} holds {ATTEMPTS} runs {name} of this minute; choose another --id")


def checkpoints_of(name: str, root: Path = ROOT) -> list[Path]:
    """Training checkpoints of all runs with exactly this name, the newest first."""
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    runs = [path for path in folders if (match := STAMPED.fullmatch(path.name)) and match[1] == name]
    found = [path / f"{path.name}_{kind}.pth" for path in runs for kind in ("checkpoint", "previous")]
    return sorted(filter(Path.is_file, found), key=lambda path: path.stat().st_mtime, reverse=True)


def code_state() -> dict[str, Any]:
    """Commit of the code and whether it has been changed since; empty outside a git checkout."""
    try:
        import git  # needs a git executable, which a container may lack
    except ImportError:
        return {}
    try:
        repository = git.Repo(Path(__file__).resolve().parents[1])
        return {"commit": repository.head.commit.hexsha, "changed": repository.is_dirty(untracked_files=False)}
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError):
        return {}
