"""Fetching a file over HTTP or from Google Drive: what broke off goes on, and a file that is there is whole.

Until it is complete and verified, it is `<name>.part`, beside which `<name>.part.tag` holds the server's mark of the
version that it was begun from. What comes from Google Drive is `<name>.drive*` until it is complete.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import gdown
import requests
from gdown.exceptions import FileURLRetrievalError
from requests import Response
from urllib3.exceptions import HTTPError

from scripts.download.unpack import is_archive, require_space
from util.errors import InputError
from util.files import add_to_record, content_hash, make_output_folder, name_errors
from util.progress import Progress

ATTEMPTS = 5
PAUSE = 2.0  # seconds after the first failure; doubled after each further one
TIMEOUT = 60.0  # seconds
CHUNK = 1 << 20
PARTIAL, NOT_SATISFIABLE = 206, 416
PASSING_ANSWERS = frozenset({408, 429, 500, 502, 503, 504})
PICKLE = b"\x80"  # begins weights as PyTorch saved them before 1.6
PAGE_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
PAGE_TYPES = ("text/html", "application/xhtml+xml")
DRIVE_ERRORS = (getattr(gdown.exceptions, "DownloadError", FileURLRetrievalError), requests.RequestException)


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Args:
        link: its address, or what a browser opens to fetch it from Google Drive.
        drive_id: its id on Google Drive; None where `link` is the file itself.
        size: in bytes, where known.
        sha256: where known.
        rough_size: in bytes, for the check of the disk where the exact size is not known.
    """

    link: str
    drive_id: str | None = None
    size: int | None = None
    sha256: str | None = None
    rough_size: int | None = None


class BrokenTransfer(Exception):
    """A transfer that ended early; another attempt may bring the rest."""


class PageInsteadOfFile(Exception):
    """The server answered with a web page."""


def fetch(remote: RemoteFile, target: Path, *, unpacks: bool = False) -> Path:
    """Fetch a file, or use the one that is at `target` already.

    Args:
        remote: what to fetch.
        target: path of the file.
        unpacks: it is an archive: the disk also has to hold what it unpacks to, taken as equally large, and that it
            was fetched is recorded, so that only such an archive is removed later.

    Returns:
        `target`.

    Raises:
        InputError: it cannot be fetched, is not what it should be, or the disk is too small.
    """
    if target.is_file():
        if fault := _fault(target, remote):
            raise InputError(
                f"{target} {fault}; remove it and run the same command again, or put the file from {remote.link} in "
                "its place"
            )
        return target
    if os.path.lexists(target):
        raise InputError(f"{target} exists and is no file; move it away and run the same command again")
    make_output_folder(target.parent)
    part = target.with_name(f"{target.name}.part")
    if os.path.lexists(part) and not _tag_file(part).is_file():  # browsers use the same suffix
        raise InputError(f"{part} is not known as written by this project; move it away and run the same command again")

    def check_disk(announced: int | None, received: int) -> None:
        size = announced or remote.size or remote.rough_size or 0
        purpose = f"fetching {'and unpacking ' * unpacks}{target.name}"
        require_space(target.parent, size - received + unpacks * size, purpose)

    def attempt() -> None:
        if remote.drive_id is None:
            _transfer(remote.link, part, check_disk)
        else:
            _transfer_from_drive(remote.drive_id, target, part)

    try:
        if remote.drive_id is not None:
            check_disk(None, _received(target))
        _persist(attempt, remote, target)
        if _is_page(part):
            raise PageInsteadOfFile
    except PageInsteadOfFile as error:
        _discard(part)
        raise InputError(
            f"{remote.link} sent a page instead of the file (its download quota may be used up); fetch it by a "
            f"browser from {remote.link}, put it at {target} and run the same command again"
        ) from error
    _accept(part, remote, target, recorded=unpacks)
    return target


def _persist(attempt: Callable[[], None], remote: RemoteFile, target: Path) -> None:
    """Try until an attempt succeeds or several in a row have brought nothing."""
    failures, most = 0, _received(target)
    while True:
        try:
            return attempt()
        except BrokenTransfer as error:
            received = _received(target)
            failures = 1 if received > most else failures + 1
            most = max(most, received)
            if failures == ATTEMPTS:
                raise InputError(
                    f"the transfer of {target.name} from {remote.link} broke off {ATTEMPTS} times "
                    f"({' '.join(str(error).split())}); run the same command again to go on where it stopped, or "
                    f"remove {target}.* first to start over"
                ) from error
        time.sleep(PAUSE * 2 ** (failures - 1))


def _received(target: Path) -> int:
    """Bytes of the partial files of `target`."""
    beginnings = (f"{target.name}.part", f"{target.name}.drive")
    parts = [path for path in target.parent.iterdir() if path.name.startswith(beginnings) and path.suffix != ".tag"]
    return sum(path.stat().st_size for path in parts)


def _transfer_from_drive(drive_id: str, target: Path, part: Path) -> None:
    complete = target.with_name(f"{target.name}.drive")
    try:
        with name_errors(complete):
            saved = gdown.download(id=drive_id, output=str(complete), quiet=not sys.stderr.isatty(), resume=True)
    except FileURLRetrievalError as error:
        raise PageInsteadOfFile from error
    except DRIVE_ERRORS as error:
        raise BrokenTransfer(str(error)) from error
    if saved is None:
        raise BrokenTransfer("gdown brought no file")
    _tag_file(part).touch()
    os.replace(complete, part)


def _transfer(url: str, part: Path, check_disk: Callable[[int | None, int], None]) -> None:
    """Append to `part` what is missing of `url`; a server that cannot do this sends everything again.

    Args:
        url: of the file, http or https.
        part: the partial file.
        check_disk: called before anything is written with the announced size of the whole file in bytes, or None, and
            the number of bytes that are there already.

    Raises:
        BrokenTransfer: it ended early.
        PageInsteadOfFile: the server sent HTML.
        InputError: the server refuses for good, or `check_disk` does.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0"}
    size, version = part.stat().st_size if part.is_file() else 0, _known_version(part)
    if size and version:
        headers |= {"Range": f"bytes={size}-", "If-Range": version}
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except (requests.TooManyRedirects, ValueError) as error:  # ValueError: for what is no address
        raise InputError(f"{url} cannot be fetched ({error}); check the address, or change --mirror") from error
    except requests.RequestException as error:
        raise BrokenTransfer(str(error)) from error
    with response, name_errors(part):
        if response.status_code == NOT_SATISFIABLE and response.headers.get("Content-Range") == f"bytes */{size}":
            return
        _require_file(response, part)
        received = _kept_bytes(response, part, size)
        total = _total_size(response, received)
        check_disk(total, received)
        _tag_file(part).write_text(_version(response), encoding="utf-8")
        with part.open("ab" if received else "wb") as file, Progress(total or 0, in_bytes=True) as progress:
            progress.advance(part.stem, received)
            for chunk in _chunks(response):
                file.write(chunk)
                received += len(chunk)
                progress.advance(part.stem, len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and received < total:
        raise BrokenTransfer(f"{received} of {total} bytes came")


def _require_file(response: Response, part: Path) -> None:
    """Raise what an answer means that does not bring the file."""
    answer = f"{response.status_code} {response.reason}"
    if response.status_code == NOT_SATISFIABLE:
        _discard(part)
        raise BrokenTransfer("the partial file does not belong to the file of the server")
    if response.status_code in PASSING_ANSWERS:
        raise BrokenTransfer(f"the server answers {answer}")
    if not response.ok:
        raise InputError(
            f"{response.url} cannot be fetched ({answer}); check the address, or leave out or change --mirror"
        )
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() in PAGE_TYPES:
        raise PageInsteadOfFile


def _kept_bytes(response: Response, part: Path, size: int) -> int:
    """How many bytes of `part`, which has `size`, the answer continues."""
    if response.status_code != PARTIAL:
        return 0
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if start is None or int(start[1]) != size or _version(response) not in ("", _known_version(part)):
        _discard(part)
        raise BrokenTransfer("the server sent another range than the one asked for")
    return size


def _total_size(response: Response, received: int) -> int | None:
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if whole and response.status_code == PARTIAL:
        return int(whole[1])
    length = response.headers.get("Content-Length", "")
    return received + int(length) if length.isdecimal() else None


def _chunks(response: Response) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except HTTPError as error:
        raise BrokenTransfer(str(error)) from error


def _version(response: Response) -> str:
    """What tells this version of a file from another one; empty if the server does not say."""
    strong = response.headers.get("ETag", "")
    return strong if strong and not strong.startswith("W/") else response.headers.get("Last-Modified", "")


def _known_version(part: Path) -> str:
    """Of the file that `part` was begun from; empty if it is not known, so that nothing can be added to `part`."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        return _tag_file(part).read_text(encoding="utf-8")
    return ""


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _accept(part: Path, remote: RemoteFile, target: Path, *, recorded: bool) -> None:
    """Give a complete partial file its name, or remove it if it is not what it should be."""
    if fault := _fault(part, remote):
        _discard(part)
        raise InputError(f"{target.name} from {remote.link} {fault}, so it was removed; run the same command again")
    digest = remote.sha256 or content_hash(part)
    if remote.sha256 is None:
        print(f"{target.name}: {part.stat().st_size} bytes, sha256 {digest}", flush=True)
    if recorded:
        add_to_record(target.parent, {"files": {target.name: digest}})
    os.replace(part, target)
    _discard(part)


def _fault(path: Path, remote: RemoteFile) -> str:
    """What is wrong with a file, as far as one can tell; empty if nothing is."""
    size = path.stat().st_size
    if _is_page(path):
        return "is a web page instead of the file"
    if remote.size is not None and size != remote.size:
        return f"has {size} bytes instead of {remote.size}"
    if remote.sha256 is not None and content_hash(path) != remote.sha256:
        return f"does not have the sha256 {remote.sha256}"
    if not is_archive(path) and not _beginning(path).startswith(PICKLE):
        return "is incomplete or not the file that it should be"
    return ""


def _is_page(path: Path) -> bool:
    return _beginning(path).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGE_BEGINNINGS)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)
