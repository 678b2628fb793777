"""Unpacking archives so that nothing lands outside their folder and a folder that exists is complete."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from scripts.download.archive_members import CHUNK, Kind, Member, damages_reported, location, members
from scripts.download.disk import require_space
from util.errors import InputError
from util.files import make_output_folder, new_folder, remove_unfinished
from util.progress import Progress

LONGEST_NAME = 255  # bytes, on the usual file systems
JUNK = "__MACOSX"


@dataclass
class Contents:
    """What will be unpacked.

    Args:
        size: of all files in bytes.
        entries: number of files and folders.
        links: target of each link, by its path; both from the folder that is unpacked, the target with all its parts.
    """

    size: int = 0
    entries: int = 0
    links: dict[PurePosixPath, PurePosixPath] = field(default_factory=dict)


def extract(archive: Path, target: Path, folder: str = "", lacks: Callable[[Path], str] = lambda unpacked: "") -> None:
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
    with damages_reported(archive):
        contents = _inspect(archive, folder)
    if target.parent.is_dir():
        remove_unfinished(target.parent)
    require_space(target.parent, contents.size, f"unpacking {archive.name}")
    make_output_folder(target.parent)
    with new_folder(target) as partial:
        with damages_reported(archive), Progress(contents.size, in_bytes=True) as progress:
            _write(archive, folder, partial, lambda count: progress.advance(archive.stem, count))
            _write_links(archive, partial, folder)
        if missing := lacks(partial):
            raise InputError(
                f"archive {archive} lacks {missing}, so nothing was unpacked; remove it and run the same command again"
            )


def _inspect(archive: Path, folder: str) -> Contents:
    """Judge every member before anything is written."""
    contents = Contents()
    for member, path in _chosen(archive, folder):
        contents.entries += 1
        contents.size += member.size if member.kind is Kind.FILE else 0
        if member.kind in (Kind.SYMLINK, Kind.HARD_LINK):
            contents.links[path] = _link_target(archive, member, path, folder)
    if not contents.entries:
        where = f" in a folder {folder}" if folder else ""
        raise InputError(
            f"archive {archive} holds nothing{where}; check that it is the right one, or unpack it by hand"
        )
    if contents.links:
        _refuse_paths_through_links(archive, folder, contents)
    return contents


def _chosen(archive: Path, folder: str) -> Iterator[tuple[Member, PurePosixPath]]:
    """The members within `folder`, with their paths from there; all members are judged on the way."""
    for member in members(archive):
        path = location(member.name)
        if path is None:
            raise _refusal(archive, member, "leads out of the folder or is no name")
        if member.kind is Kind.SPECIAL:
            raise _refusal(archive, member, "is a device, a folder with content or another special thing")
        if member.kind is not Kind.FOLDER and path in (PurePosixPath(), PurePosixPath(folder)):
            raise _refusal(archive, member, "is a file where a folder should be")
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            raise _refusal(archive, member, "has a name that is too long")
        if path.is_relative_to(folder) and path != PurePosixPath(folder) and path.parts[0] != JUNK:
            yield member, path.relative_to(folder)


def _link_target(archive: Path, member: Member, path: PurePosixPath, folder: str) -> PurePosixPath:
    """The target of a link from the folder that is unpacked, with `..` where the link has it."""
    if member.kind is Kind.HARD_LINK:
        target = location(member.target)
        if target is None or not target.is_relative_to(folder):
            raise _refusal(archive, member, "links out of the folder")
        return target.relative_to(folder)
    target = path.parent / member.target.replace("\\", "/")
    if _resolve(target) is None or ":" in member.target:
        raise _refusal(archive, member, "links out of the folder")
    return target


def _resolve(path: PurePosixPath) -> list[PurePosixPath] | None:
    """The places that a path with `..` goes through, the last one included; None if it leaves the folder."""
    if path.is_absolute():
        return None
    place, places = PurePosixPath(), []
    for part in path.parts:
        if part == ".." and not place.parts:
            return None
        place = place.parent if part == ".." else place / part
        places.append(place)
    return places


def _refuse_paths_through_links(archive: Path, folder: str, contents: Contents) -> None:
    """With no link on the way to a member or a target, the paths in the archive are the paths on the disk."""
    links = {_key(path) for path in contents.links}
    for member, path in _chosen(archive, folder):
        on_the_way = list(path.parents)
        if path in contents.links:
            on_the_way += (_resolve(contents.links[path]) or [])[:-1]
        if any(_key(place) in links for place in on_the_way):
            raise _refusal(archive, member, "goes through a link")


def _key(path: PurePosixPath) -> str:
    """Equal for paths that some file systems take as the same."""
    return str(path).casefold()


def _refusal(archive: Path, member: Member, reason: str) -> InputError:
    return InputError(
        f"archive {archive} holds {member.name!r}, which {reason}, so nothing was unpacked; "
        "fetch the archive from a source that you trust"
    )


def _write(archive: Path, folder: str, root: Path, advance: Callable[[int], None]) -> None:
    made: set[Path] = set()
    for member, path in _chosen(archive, folder):
        place = root / path
        parent = place if member.kind is Kind.FOLDER else place.parent
        if parent not in made:
            parent.mkdir(parents=True, exist_ok=True)
            made.add(parent)
        if member.kind is not Kind.FILE:
            continue
        packed = member.open()
        if packed is None:
            raise EOFError(f"{member.name} has no data")
        count = 0
        with packed, place.open("xb") as file:
            while chunk := packed.read(CHUNK):
                file.write(chunk)
                count += len(chunk)
                advance(len(chunk))
        if count != member.size:
            raise EOFError(f"{member.name} has {count} bytes instead of {member.size}")


def _write_links(archive: Path, root: Path, folder: str) -> None:
    """Links come after the files, so that no file is written through one."""
    for member, path in _chosen(archive, folder):
        if member.kind is Kind.SYMLINK:
            (root / path).symlink_to(member.target.replace("\\", "/"))
        elif member.kind is Kind.HARD_LINK:
            source = root / _link_target(archive, member, path, folder)
            if not source.is_file():
                raise EOFError(f"{member.name} links to {member.target}, which is missing")
            if (root / path).exists():
                raise FileExistsError(errno.EEXIST, "File exists", str(root / path))
            shutil.copyfile(source, root / path)
