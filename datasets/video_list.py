"""Lists of videos, as DAVIS and YouTube-VOS ship them."""

from collections.abc import Sequence
from pathlib import Path

from util.errors import InputError


def read_video_list(path: Path) -> list[str]:
    """Names of videos from a list with one on each line, in its order, each once.

    Lines that begin with the path of a frame (DAVIS 2016, ImageSets/480p) give the folder of that frame.
    """
    firsts = [Path(line.split()[0]) for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return list(dict.fromkeys(first.parent.name or first.name for first in firsts))


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
