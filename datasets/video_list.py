"""Lists of videos, as DAVIS and YouTube-VOS ship them."""

from collections.abc import Sequence
from pathlib import Path

from util.errors import InputError
from util.text_files import read_text


def read_video_list(path: Path) -> list[str]:
    """Names of videos from a list with one on each line, in its order, each once.

    Lines that begin with the path of a frame (DAVIS 2016, ImageSets/480p) give the folder of that frame. Blank lines
    and those that begin with # are left out.

    Raises:
        InputError: the file is no text in UTF-8, nor in UTF-16 with a byte order mark.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    return list(dict.fromkeys(_video_of(line) for line in lines if line and not line.startswith("#")))


def _video_of(line: str) -> str:
    """The video that a line names: a path's folder, else the whole line."""
    first = Path(line.split()[0])
    return first.parent.name or (line if "/" not in line else first.name)


def choose_videos(names: Sequence[str], only: Sequence[str], origin: Path) -> list[str]:
    """Of the names those in `only`, or all where it is empty, in the order of the names.

    Args:
        names, only: names of videos.
        origin: where the names are from, for messages.

    Raises:
        InputError: there are no names, or a name of `only` is not among them.
    """
    if not names:
        raise InputError(f"list of videos {origin} is empty; pass another one by --list FILE")
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f"video {unknown[0]} is not in {origin}; check the name or pass --list FILE")
    return [name for name in names if name in only] if only else list(names)
