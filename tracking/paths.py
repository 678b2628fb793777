"""Where data and results lie for the published commands: what create_default_local_file.py was told."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from util.errors import InputError
from util.files import write_text
from util.text_files import read_json

LOCAL = Path(__file__).parent / "local.json"


@dataclass(frozen=True)
class Paths:
    """Folders of the published commands, absolute.

    Attributes:
        workspace_dir: of the project.
        data_dir: in which the data sets lie.
        save_dir: in which results are written.
    """

    workspace_dir: Path
    data_dir: Path
    save_dir: Path


def write_paths(paths: Paths, file: Path = LOCAL) -> None:
    """Write them down for the commands that come later."""
    write_text(file, json.dumps({name: str(path) for name, path in asdict(paths).items()}, indent=2) + "\n")


def read_paths(file: Path = LOCAL) -> Paths:
    """What has been written down; by default `data` and the folder of the call.

    Raises:
        InputError: the file is damaged.
    """
    if not file.is_file():
        return Paths(Path.cwd(), Path("data"), Path())
    content = read_json(file)
    try:
        return Paths(**{name: Path(path) for name, path in content.items()})
    except (TypeError, AttributeError) as error:
        raise InputError(f"{file} is damaged; run tracking/create_default_local_file.py again") from error
