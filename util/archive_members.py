"""What zip and tar archives hold, in one form."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from util.errors import InputError

LONGEST_LINK = 4096
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, BadGzipFile, EOFError),
    *(NotImplementedError, UnicodeDecodeError, FileExistsError, NotADirectoryError, IsADirectoryError),
)


class Kind(Enum):
    """What a member is; a hard link names its target from the top of the archive, a symbolic one from its folder."""

    FILE = auto()
    FOLDER = auto()
    SYMLINK = auto()
    HARD_LINK = auto()
    SPECIAL = auto()


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Args:
        name: as the archive has it.
        kind: see `Kind`; anything else, such as a device, is special.
        size: of its data in bytes.
        target: of a link.
        open: its data, to be read before the next member is asked for.
    """

    name: str
    kind: Kind
    size: int
    target: str
    open: Callable[[], IO[bytes] | None]


def members(archive: Path) -> Iterator[Member]:
    """The members of a zip or tar archive in their order.

    Raises:
        InputError: it is neither, or encrypted.
    """
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    else:
        raise InputError(f"{archive} is neither a zip nor a tar archive; remove it and run the same command again")


@contextmanager
def damages_reported(archive: Path) -> Iterator[None]:
    """Raises InputError for whatever the reading of a damaged archive raises."""
    try:
        yield
    except DAMAGES as error:
        raise InputError(
            f"archive {archive} is damaged ({' '.join(str(error).split()) or type(error).__name__}); "
            "remove it and run the same command again"
        ) from error


def location(name: str) -> PurePosixPath | None:
    """Where a member of that name lies, from the top of the archive; None if that is outside."""
    plain = name.replace("\\", "/")
    path = PurePosixPath(plain)
    leads_out = path.is_absolute() or PureWindowsPath(plain).drive or ".." in path.parts or "\0" in plain
    return None if leads_out else path


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.flag_bits & 1:
                raise InputError(f"archive {archive} is encrypted; unpack it by hand")
            kind = _zip_kind(info)
            target = packed.read(info).decode() if kind is Kind.SYMLINK else ""
            yield Member(info.filename, kind, info.file_size, target, partial(packed.open, info))


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return Kind.SYMLINK if info.file_size <= LONGEST_LINK else Kind.SPECIAL
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Kind.SPECIAL
    return Kind.FOLDER if info.is_dir() or mode == stat.S_IFDIR else Kind.FILE


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as packed:
        while (info := packed.next()) is not None:
            packed.members = []  # millions of them would fill the memory
            yield Member(info.name, _tar_kind(info), info.size, info.linkname, partial(packed.extractfile, info))


def _tar_kind(info: tarfile.TarInfo) -> Kind:
    if info.isreg():
        return Kind.FILE
    if info.isdir():
        return Kind.FOLDER
    if info.issym():
        return Kind.SYMLINK
    return Kind.HARD_LINK if info.islnk() else Kind.SPECIAL
