"""Room on the disk."""

import shutil
from pathlib import Path

from util.errors import InputError

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def describe_size(size: float) -> str:
    """A number of bytes for people: 1234567 -> 1.2 MB."""
    unit = 0
    while size >= 1000 and unit + 1 < len(UNITS):
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} {UNITS[unit]}"


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Make sure that a folder's disk has room; the folder itself need not exist yet.

    Args:
        folder: where something will be written.
        needed: its size in bytes.
        purpose: what it is, for the message.

    Raises:
        InputError: the disk has less room.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"{purpose} needs {describe_size(needed)} in {folder} but only {describe_size(free)} are free; "
            "free some space or choose a folder on another disk"
        )
