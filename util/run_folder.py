"""Where a training run writes, and the record of how it was started."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from util.files import atomic_path, make_output_folder


class RunFolder:
    """Folder `saves/<stamp>_<name>` of a run, with its checkpoints and its arguments.

    Args:
        name: what the user calls the run.
        root: folder that holds the runs.
    """

    def __init__(self, name: str, root: Path = Path("saves")) -> None:
        self.id = f"{datetime.now():%b%d_%H.%M.%S}_{name}"
        self.path = make_output_folder(root / self.id)

    @property
    def checkpoint(self) -> Path:
        """The training checkpoint, for --load_model."""
        return self.path / f"{self.id}_checkpoint.pth"

    def weights(self, iteration: int) -> Path:
        """The weights after an iteration, for evaluation and --load_network."""
        return self.path / f"{self.id}_{iteration}.pth"

    def record(self, arguments: dict[str, Any]) -> None:
        """Write the command, its arguments and the state of the code as JSON beside the checkpoints."""
        content = {"command": sys.argv, "arguments": arguments, "code": code_state()}
        with atomic_path(self.path / f"{self.id}_arguments.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")


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
