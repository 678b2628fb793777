"""Lists of videos, as DAVIS and YouTube-VOS ship them."""

from pathlib import Path


def read_video_list(path: Path) -> list[str]:
    """Names of videos from a list with one on each line, in its order, each once.

    Lines that begin with the path of a frame (DAVIS 2016, ImageSets/480p) give the folder of that frame.
    """
    firsts = [Path(line.split()[0]) for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return list(dict.fromkeys(first.parent.name or first.name for first in firsts))
