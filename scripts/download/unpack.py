"""Unpacking archives so that nothing lands outside their folder and a folder that exists is complete."""

import errno
import io
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from util.errors import InputError
from util.files import make_output_folder, new_folder, remove_unfinished
from util.progress import Progress

CHUNK = 1 << 20
JUNK = "__MACOSX"
LONGEST_LINK = 4096  # bytes of a path
ZIP_ENTRY = b"PK\x01\x02"  # begins each member in the list at the end of a zip archive
UNITS = ("bytes", "kB", "MB", "GB", "TB")
NO_PLACE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, struct.error),
    *(ValueError, LookupError, OverflowError),  # of the readers themselves, for nonsense in a header
)

Member = tuple[tarfile.TarInfo, Callable[[], IO[bytes] | None]]
"""An entry of an archive, that of a zip in tar's form, and what opens its data."""


class RefusedMember(Exception):
    """Why a member is not unpacked."""


def unpack(archive: Path, target: Path, folder: str = "", lacks: Callable[[Path], str] = lambda unpacked: "") -> None:
    """Unpack a folder of a zip or tar archive as `target`, which appears when everything is in it.

    Links within it are kept; what macOS adds in `__MACOSX` and owners, times and permissions are left out.

    Args:
        archive: the archive.
        target: the folder to make; where there is one, it has to be empty.
        folder: of the archive, e.g. "DAVIS" or "DAVIS/Scribbles"; by default all of it. The rest is left out.
        lacks: says what is missing from the unpacked folder, before it becomes `target`; empty if nothing is.

    Raises:
        InputError: a member would land outside, or links there, or is a device (nothing is unpacked then), the
            archive is damaged, lacks something or has no such folder, `target` holds something, or the disk is too
            small.
    """
    with damage_reported(archive):
        sizes = [info.size if info.isreg() else 0 for info, _ in _accepted(archive, folder, target)]
    if not sizes:
        where = f" in a folder {folder}" if folder else ""
        raise InputError(
            f"archive {archive} holds nothing{where}; check that it is the right one, or unpack it by hand"
        )
    if target.parent.is_dir():
        remove_unfinished(target.parent)
    require_space(target.parent, sum(sizes), f"unpacking {archive.name}")
    make_output_folder(target.parent)
    with new_folder(target) as partial_folder:
        with damage_reported(archive), Progress(sum(sizes), in_bytes=True) as progress:
            _write(archive, folder, partial_folder, lambda count: progress.advance(archive.stem, count))
        if missing := lacks(partial_folder):
            raise InputError(
                f"archive {archive} lacks {missing}, so nothing was unpacked; remove it and run the same command again"
            )


def find_holder(archive: Path, name: str) -> str:
    """The folder of an archive, nearest to its top, that holds a folder of this name; "" for the top itself.

    Raises:
        InputError: there is none, or the archive is damaged.
    """
    with damage_reported(archive):
        places = {_location(info.name) for info, _ in _members(archive)}
    holders = {path.parents[-path.parts.index(name) - 1] for path in places if path and name in path.parts[:-1]}
    if not holders:
        raise InputError(
            f"archive {archive} holds no folder {name}; check that it is the right one, or unpack it by hand"
        )
    nearest = min(holders, key=lambda path: (len(path.parts), path))
    return "" if nearest == PurePosixPath() else str(nearest)


def is_archive(path: Path) -> bool:
    """Whether a file begins like a tar archive or ends like a zip archive."""
    with suppress(*DAMAGES):
        return tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    return False


@contextmanager
def damage_reported(archive: Path) -> Iterator[None]:
    """Raises InputError for whatever the reading of a damaged archive raises."""
    try:
        yield
    except RuntimeError as error:  # a password, or a method of compression that is not known here
        raise InputError(
            f"archive {archive} cannot be unpacked here ({error}), so nothing was unpacked; unpack it by hand"
        ) from error
    except OSError as error:
        if error.errno in NO_PLACE:
            raise InputError(
                f"archive {archive} holds {Path(error.filename).name}, for which there is no place ({error.strerror}), "
                "so nothing was unpacked; unpack it by hand"
            ) from error
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error  # of gzip and bzip2
    except DAMAGES as error:
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(
        f"archive {archive} is damaged ({' '.join(str(error).split()) or type(error).__name__}), so nothing was "
        "unpacked; remove it and run the same command again"
    )


def _accepted(archive: Path, folder: str, root: Path) -> Iterator[Member]:
    """The members within `folder`, named from there, to be unpacked in `root`; each is judged before it comes."""
    for info, open_data in _members(archive):
        try:
            inside = _within(info, folder)
            if inside is not None:
                yield tarfile.data_filter(inside, str(root)), open_data
        except (RefusedMember, tarfile.FilterError) as error:
            raise InputError(
                f"archive {archive} holds {info.name!r}, which is refused ({error}), so nothing was unpacked; "
                "fetch the archive from a source that you trust"
            ) from error


def _within(info: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """A member with its paths from a folder of the archive; None if it does not lie there.

    Names are taken as they are or refused, where `tarfile.data_filter` would mend them. A link may go up only at the
    beginning of its target: what comes later might go up from the place that another link leads to.
    """
    path = _location(info.name)
    if path is None:
        raise RefusedMember("it leads out of the folder or is no name")
    if not path.is_relative_to(folder) or path.parts[:1] == (JUNK,):
        return None
    place, link = path.relative_to(folder), info.linkname.replace("\\", "/")
    if place == PurePosixPath():
        if info.isdir():
            return None
        raise RefusedMember("it is a file where a folder should be")
    if info.islnk():
        source = _location(link)
        if source is None or not source.is_relative_to(folder):
            raise RefusedMember("it links out of the folder")
        link = str(source.relative_to(folder))
    elif info.issym() and (":" in link or PurePosixPath(posixpath.normpath(link)) != PurePosixPath(link)):
        raise RefusedMember("its link takes a way that cannot be followed")
    return info.replace(name=str(place), linkname=link, deep=False)


def _location(name: str) -> PurePosixPath | None:
    """Where a member of that name lies, from the top of the archive; None if that is outside, or no place at all."""
    plain = name.replace("\\", "/")
    path = PurePosixPath(plain)
    leads_out = path.is_absolute() or PureWindowsPath(plain).drive or ".." in path.parts
    return None if leads_out or not plain or "\0" in plain else path


def _write(archive: Path, folder: str, root: Path, advance: Callable[[int], None]) -> None:
    links = []
    for info, open_data in _accepted(archive, folder, root):
        place = root / info.name
        (place if info.isdir() else place.parent).mkdir(parents=True, exist_ok=True)
        if info.isreg():
            with open_data() or io.BytesIO() as data, place.open("xb") as file:
                while chunk := data.read(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
                if file.tell() != info.size:
                    raise EOFError(f"{info.name} has {file.tell()} bytes instead of {info.size}")
        elif not info.isdir():
            links.append(info)
    for info in links:  # after the files, so that none is written through one
        _write_link(tarfile.data_filter(info, str(root)), root)


def _write_link(info: tarfile.TarInfo, root: Path) -> None:
    place, source = root / info.name, root / info.linkname
    if os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    if info.issym():
        place.symlink_to(info.linkname)
    elif source.is_file():
        shutil.copyfile(source, place)
    else:
        raise EOFError(f"{info.name} links to {info.linkname}, which is missing")


def _members(archive: Path) -> Iterator[Member]:
    """The members of a zip or tar archive in their order."""
    if tarfile.is_tarfile(archive):  # first, since a tar archive may end with a zip archive
        yield from _tar_members(archive)
    elif zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        raise InputError(f"{archive} is neither a zip nor a tar archive; remove it and run the same command again")


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as packed:
        while (info := packed.next()) is not None:
            # Millions of them would fill the memory.
            packed.members = []  # type: ignore[attr-defined]
            yield info, partial(packed.extractfile, info)
        # A damaged header looks like the end to tarfile. There lie two blocks of zeros or more, and nothing else.
        packed.fileobj.seek(packed.offset)
        count = 0
        while chunk := packed.fileobj.read(CHUNK):
            if chunk.count(0) < len(chunk):
                raise tarfile.ReadError("there are data where a member or the end should be")
            count += len(chunk)
        if count < 2 * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        entries = packed.infolist()
        if any(ZIP_ENTRY in entry.extra + entry.comment for entry in entries):
            raise zipfile.BadZipFile("its list has lost a member")
        if min((entry.header_offset for entry in entries), default=0):
            raise zipfile.BadZipFile("there are data before its first member")
        for entry in entries:
            packed.open(entry).close()  # compares the name in the list with the one before the data
            yield _in_tar_form(packed, entry), partial(packed.open, entry)


def _in_tar_form(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.orig_filename)
    info.size = entry.file_size
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK and info.size <= LONGEST_LINK:
        info.type, info.linkname = tarfile.SYMTYPE, packed.read(entry).decode()
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        info.type = tarfile.CHRTYPE
    elif kind == stat.S_IFDIR or entry.filename.endswith("/"):
        info.type = tarfile.CHRTYPE if info.size else tarfile.DIRTYPE  # data of a folder would be lost
    return info


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
            f"{purpose} needs {_describe_size(needed)} in {folder} but only {_describe_size(free)} are free; "
            "free some space or choose a folder on another disk"
        )


def _describe_size(size: float) -> str:
    """A number of bytes for people: 1234567 -> 1.2 MB."""
    unit = 0
    while size >= 1000 and unit + 1 < len(UNITS):
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} {UNITS[unit]}"
