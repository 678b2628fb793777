"""Where a training run writes, and the record of how it was started."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from util.files import atomic_path, make_output_folder

ROOT = Path("saves")


class RunFolder:
    """Folder of a run, with its checkpoints and its arguments.

    Args:
        path: `saves/<stamp>_<name>`; see `new_run_id` and `checkpoints_of`.
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

    def note_samples(self, kind: str, rank: int, iteration: int, samples: list[str]) -> Path:
        """Write down samples that made trouble, in a text file for each process.

        Args:
            kind: `unreadable` or `not_finite`.
            rank: number of the process.
            iteration: in which they came up.
            samples: names or messages.
        """
        path = self.path / f"{self.id}_{kind}_{rank}.txt"
        with path.open("a") as file:
            file.writelines(f"{iteration}\t{sample}\n" for sample in samples)
        return path

    def record(self, arguments: dict[str, Any]) -> None:
        """Write the command, its arguments and the state of the code as JSON beside the checkpoints."""
        content = {"command": sys.argv, "arguments": arguments, "code": code_state()}
        with atomic_path(self.path / f"{self.id}_arguments.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")


def new_run_id(name: str) -> str:
    """What a run that begins now is called: `<stamp>_<name>`."""
    return f"{datetime.now():%b%d_%H.%M.%S}_{name}"


def checkpoints_of(name: str, root: Path = ROOT) -> list[Path]:
    """Training checkpoints of all runs with this name, the newest first."""
    found = [path for kind in ("checkpoint", "previous") for path in root.glob(f"*_{name}/*_{name}_{kind}.pth")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


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
