"""What zip and tar archives hold, in one form."""

import stat
import struct
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

CHUNK = 1 << 20
LONGEST_LINK = 4096
ENTRY_COUNTS = 1 << 16  # the number of entries that a zip archive states is taken modulo this by some writers
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, BadGzipFile, EOFError, struct.error),
    *(ValueError, LookupError, OverflowError, RuntimeError),  # of the readers themselves, for nonsense in a header
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
    if tarfile.is_tarfile(archive):  # first, since a tar archive may end with a zip archive
        yield from _tar_members(archive)
    elif zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        raise InputError(f"{archive} is neither a zip nor a tar archive; remove it and run the same command again")


@contextmanager
def damages_reported(archive: Path) -> Iterator[None]:
    """Raises InputError for whatever the unpacking of a damaged archive raises."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(
            f"archive {archive} holds {Path(error.filename).name} more than once, or as a file and as a folder, so "
            "nothing was unpacked; unpack it by hand"
        ) from error
    except NotImplementedError as error:
        raise InputError(
            f"archive {archive} cannot be unpacked here ({error}), so nothing was unpacked; unpack it by hand"
        ) from error
    except DAMAGES as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error  # of bzip2


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(
        f"archive {archive} is damaged ({' '.join(str(error).split()) or type(error).__name__}), so nothing was "
        "unpacked; remove it and run the same command again"
    )


def location(name: str) -> PurePosixPath | None:
    """Where a member of that name lies, from the top of the archive; None if that is outside, or no place at all."""
    plain = name.replace("\\", "/")
    path = PurePosixPath(plain)
    leads_out = path.is_absolute() or PureWindowsPath(plain).drive or ".." in path.parts
    return None if leads_out or not plain or "\0" in plain else path


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        _require_whole_list(archive, packed.infolist())
        for info in packed.infolist():
            if info.flag_bits & 1:
                raise InputError(f"archive {archive} is encrypted; unpack it by hand")
            packed.open(info).close()  # compares the name in the list with the one before the data
            kind = _zip_kind(info)
            target = packed.read(info).decode() if kind is Kind.SYMLINK else ""
            yield Member(info.orig_filename, kind, info.file_size, target, partial(packed.open, info))


def _require_whole_list(archive: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Find entries that the list at the end of a zip archive has lost."""
    with archive.open("rb") as file:
        stated = zipfile._EndRecData(file)[zipfile._ECD_ENTRIES_TOTAL]
    if (len(infos) - stated) % ENTRY_COUNTS:
        raise zipfile.BadZipFile(f"it lists {len(infos)} members and states {stated}")
    if infos and min(info.header_offset for info in infos):
        raise zipfile.BadZipFile("there are data before its first member")


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return Kind.SYMLINK if info.file_size <= LONGEST_LINK else Kind.SPECIAL
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Kind.SPECIAL
    if info.filename.endswith("/") or mode == stat.S_IFDIR:
        return Kind.SPECIAL if info.file_size else Kind.FOLDER
    return Kind.FILE


class _CheckedHeader(tarfile.TarInfo):
    """A header that is damaged is an error, where tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        """Read the header of the next member."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} where a member or the end should be") from error


def _require_end(packed: tarfile.TarFile) -> None:
    """After the last member lie two blocks of zeros or more, and nothing else; the first of them has been read."""
    count = 0
    while chunk := packed.fileobj.read(CHUNK):
        if chunk.count(0) < len(chunk):
            raise tarfile.ReadError("there are data after its end")
        count += len(chunk)
    if count < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive, tarinfo=_CheckedHeader) as packed:
        while (info := packed.next()) is not None:
            packed.members = []  # millions of them would fill the memory
            yield Member(info.name, _tar_kind(info), info.size, info.linkname, partial(packed.extractfile, info))
        _require_end(packed)


def _tar_kind(info: tarfile.TarInfo) -> Kind:
    if info.isreg():
        return Kind.FILE
    if info.isdir():
        return Kind.FOLDER
    if info.issym():
        return Kind.SYMLINK
    return Kind.HARD_LINK if info.islnk() else Kind.SPECIAL
