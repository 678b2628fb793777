"""Writing files so that one which looks finished is finished, and nothing of the user's is ever replaced or removed.

Beside what this project writes lies a record, `.vos-files`, with the hash of each file's content. A file is ours if it
is recorded and has still a content that we wrote; one that somebody put there or edited is not.
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from util.errors import InputError

RECORD = ".vos-files"
LOCK = ".vos-lock"
UNFINISHED = ".vos-unfinished"
RECORD_DEPTH = 4  # folders above a file in whose records it may stand
BLOCK = 1 << 20
LONGEST_NAME = 120  # bytes of a name that fit into that of an unfinished file


def content_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


@dataclass
class Record:
    """What a folder's record says.

    Attributes:
        hashes: of every content that was written to each path, from the folder; also of those that were replaced.
        requests: what each folder of results was made of last.
    """

    hashes: dict[str, set[str]] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> "Record":
        """Read the record of a folder; lines that a crash cut off are left out."""
        record = cls()
        try:
            lines = (folder / RECORD).read_bytes().splitlines()
        except OSError:
            return record
        for line in lines:
            try:
                entry = json.loads(line.decode("utf-8", "surrogateescape"))
                for name, digest in entry["files"].items():
                    record.hashes.setdefault(name, set()).add(digest)
                if "request" in entry:
                    record.requests[entry["folder"]] = entry["request"]
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue
        return record


def add_to_record(folder: Path, entry: dict[str, Any]) -> None:
    """Add a line to a folder's record; several processes may do so at a time."""
    with name_errors(folder / RECORD), (folder / RECORD).open("ab") as file:
        # A line break comes first, too: a crash may have cut the line before.
        file.write(("\n" + json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))


def is_ours(path: Path) -> bool:
    """Whether this project wrote the file, and nobody has changed it since."""
    if not path.is_file() or path.is_symlink():
        return False
    digest = content_hash(path)
    places = list(path.parents)[:RECORD_DEPTH]
    return any(digest in Record.of(place).hashes.get(path.relative_to(place).as_posix(), ()) for place in places)


def require_ours(path: Path) -> None:
    """Make sure that a path is free, or holds a file that this project wrote.

    Raises:
        InputError: a file of somebody else is there.
    """
    if os.path.lexists(path) and not is_ours(path):
        raise InputError(
            f"{path} exists and is not known as written by this project, or was changed since; "
            "move it away, or choose another output"
        )


def request_of(folder: Path) -> dict[str, Any] | None:
    """What a folder of results was made of; None where that is not known."""
    folder = real_path(folder) if folder.is_symlink() else folder
    return Record.of(folder.parent).requests.get(folder.name)


@contextmanager
def atomic_path(path: Path, *, known: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure.

    The data are flushed to disk before the rename, so that a crash leaves either the old file or the new one.

    Args:
        path: of the file; a link is followed.
        known: the caller knows that the file is ours, as in a folder that is all its own; nothing is recorded.

    Raises:
        InputError: there is a file that is not ours.
    """
    path = Path(path)
    path = real_path(path) if path.is_symlink() else path
    known = known or UNFINISHED in str(path.parent)
    if not known:
        require_ours(path)
    temporary = _unfinished(path)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        if not known:
            require_ours(path)
            add_to_record(path.parent, {"files": {path.name: content_hash(temporary)}})
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and (error.filename is None or UNFINISHED in str(error.filename)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, which appears when it is whole; its folder is made where it is missing.

    Raises:
        InputError: there is a file that is not ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(folder: Path, request: dict[str, Any] | None = None) -> Iterator[Path]:
    """A hidden folder beside `folder` that takes its place on success, and is removed on failure.

    Of a folder that is there already, only files of ours are replaced; those of the user stay.

    Args:
        folder: the folder; a link is followed.
        request: what the folder is made of, for the record, which lies beside it.

    Raises:
        InputError: a file that is not ours is in the way of one that was made.
    """
    folder = real_path(folder) if folder.is_symlink() else folder
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} exists and is no folder; move it away, or choose another output")
    with _partial_folder(folder) as partial:
        yield partial
        made = {path.relative_to(partial).as_posix(): content_hash(path) for path in _files_below(partial)}
        entry = {"files": {f"{folder.name}/{name}": digest for name, digest in made.items()}}
        wanted = {} if request is None else {"folder": folder.name, "request": request}
        add_to_record(folder.parent, entry | wanted)
        _put_in_place(folder, partial, made)


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """The hidden folder beside `folder` in which it is made; what is left of it is removed at the end."""
    partial = _unfinished(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with name_errors(folder):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """Errors of the operating system that do not say which file they are about get the name of this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder` that becomes it on success, and is removed on failure; nothing is recorded.

    Raises:
        InputError: `folder` exists and is not empty.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty; move it away and run the same command again")
    with _partial_folder(folder) as partial:
        yield partial
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)


def _unfinished(path: Path) -> Path:
    """Where a file or folder is made: a name that tells which process is at work."""
    name = (
        path.name if len(os.fsencode(path.name)) <= LONGEST_NAME else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    )
    return path.with_name(f".{name}.{socket.gethostname()}.{os.getpid()}{UNFINISHED}")


def remove_unfinished(folder: Path) -> None:
    """Remove what processes of this machine that are no longer alive left unfinished in a folder."""
    for path in folder.glob(f".*{UNFINISHED}"):
        *_, host, process = path.name.removesuffix(UNFINISHED).rsplit(".", 2)
        if host == socket.gethostname().rpartition(".")[2] and process.isdecimal() and not _is_alive(int(process)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _files_below(folder: Path) -> list[Path]:
    """All files of a folder and of those below it, links to files among them."""
    return sorted(Path(place) / name for place, _, names in os.walk(folder) for name in names)


def _put_in_place(folder: Path, new: Path, made: Collection[str]) -> None:
    """Put a finished folder where it belongs; in one step where nothing of the user's is there."""
    if not folder.exists():
        new.rename(folder)
        return
    ours, others = _sort_files(folder)
    for name in made:
        if name in others or (folder / name).is_dir():
            require_ours(folder / name)
    if not others:
        old = _unfinished(folder.with_name(folder.name + ".old"))
        try:
            folder.rename(old)
            new.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EBUSY):
                raise
        else:
            shutil.rmtree(old, ignore_errors=True)
            return
    for name in ours:
        (folder / name).unlink()
    for name in made:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new / name, folder / name)


def _sort_files(folder: Path) -> tuple[set[str], set[str]]:
    """The files below a folder that are ours, and all else (empty folders and links to folders, too), from there."""
    hashes = Record.of(folder.parent).hashes
    ours: set[str] = set()
    others = {
        (Path(place) / name).relative_to(folder).as_posix()
        for place, folders, _ in os.walk(folder)
        for name in folders
        if (Path(place) / name).is_symlink() or not any((Path(place) / name).iterdir())
    }
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        known = hashes.get(f"{folder.name}/{name}", ())
        (ours if known and not path.is_symlink() and content_hash(path) in known else others).add(name)
    return ours, others


def require_replaceable(folder: Path, names: Iterable[str]) -> None:
    """Make sure that files of these names can be written to a folder of results without replacing the user's.

    Raises:
        InputError: one is in the way.
    """
    if not folder.is_dir():
        require_ours(folder)
        return
    folder = real_path(folder) if folder.is_symlink() else folder
    hashes = Record.of(folder.parent).hashes
    for name in names:
        path = folder / name
        if os.path.lexists(path):
            known = hashes.get(f"{folder.name}/{name}", ())
            if not (known and path.is_file() and content_hash(path) in known):
                require_ours(path)


@contextmanager
def held(folder: Path, purpose: str) -> Iterator[None]:
    """Hold a folder against other processes of this project; the system frees it when the process ends.

    Raises:
        InputError: another process holds it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{purpose} {folder} is in use by another process; wait for it, or choose another") from error
    try:
        yield
    finally:
        lock.release()


def real_path(path: Path) -> Path:
    """The absolute path with all links resolved, as far as they can be: a link that leads to itself stays."""
    return Path(os.path.realpath(path))


def meets(output: Path, given: Path) -> bool:
    """Whether an output equals, lies in, or holds something that is given, links resolved."""
    one, other = real_path(output), real_path(given)
    if one == other or one.is_relative_to(other) or other.is_relative_to(one):
        return True
    return _same(one, other) or any(_same(one, p) for p in other.parents) or any(_same(other, p) for p in one.parents)


def require_apart(outputs: Iterable[Path], given: Iterable[Path]) -> None:
    """Make sure that nothing is written where something is read.

    Raises:
        InputError: an output equals, lies in, or holds something that is given.
    """
    given = list(given)
    for output in outputs:
        for path in given:
            if meets(output, path):
                raise InputError(
                    f"output {output} would meet {path}, which is read; choose an output apart from inputs"
                )


def ignores_case_of_letters(folder: Path) -> bool:
    """Whether the file system takes names that differ in the case of letters for one, as far as a path exists."""
    for place in (real_path(folder), *real_path(folder).parents):
        other = place.with_name(place.name.swapcase())
        if place.name != other.name and place.exists():
            return other.exists() and place.samefile(other)
    return False


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one place, as they are on file systems that ignore the case of letters."""
    try:
        return str(one).casefold() == str(other).casefold() and one.samefile(other)
    except OSError:
        return False


def make_output_folder(folder: Path) -> Path:
    """Create `folder` and prove that it can be written to.

    Raises:
        InputError: the folder cannot be created or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"output folder {folder} is not writable ({reason}); choose another folder") from error
    return folder
