"""Where a training run writes, and the record of how it was started."""

import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from util.errors import InputError
from util.files import atomic_path, held, make_output_folder, name_errors

ROOT = Path("saves")
STAMPED = re.compile(r"[^\W\d_]+\.?\d\d_\d\d\.\d\d\.\d\d_(.*)", re.DOTALL)  # Jan31_23.59.59_name
LONGEST_NAME = 100
ATTEMPTS = 60


class RunFolder:
    """Folder of a run, with its checkpoints and its arguments.

    Args:
        path: `saves/<stamp>_<name>`; see `new_run_folder` and `checkpoints_of`.
        leads: whether this process writes; the folder is its own then until it ends.

    Raises:
        InputError: another run is at work in the folder, or it cannot be written to.
    """

    def __init__(self, path: Path, *, leads: bool = True) -> None:
        self.id = path.name
        self.path = make_output_folder(path)
        if leads:
            self._held = held(path, "the run folder")
            self._held.__enter__()

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

    def note_samples(self, kind: str, rank: int, iteration: int, samples: list[str]) -> Path:
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
