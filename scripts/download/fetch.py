"""Downloads that can be interrupted, and files that are what they should be."""

import hashlib
import os
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gdown
import requests
from gdown.exceptions import FileURLRetrievalError

from scripts.download.disk import require_space
from scripts.download.http import BrokenTransfer, PageInsteadOfFile, begin, discard, require_begun, transfer
from util.errors import InputError
from util.files import add_to_record, make_output_folder, name_errors
from util.progress import Progress

ATTEMPTS = 5
PAUSE = 2.0
HASH_CHUNK = 1 << 22
PICKLE = b"\x80"
PAGE_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
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


def fetch(remote: RemoteFile, target: Path, *, unpacks: bool = False) -> Path:
    """Fetch a file, or use the one that is at `target` already.

    Until it is complete and verified it is `<target>.part`, from which a later call goes on; what comes from Google
    Drive is `<target>.drive*` until it is complete.

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
        verify(target, remote)
        return target
    if os.path.lexists(target):
        raise InputError(f"{target} exists and is no file; move it away and run the same command again")
    make_output_folder(target.parent)
    part = target.with_name(f"{target.name}.part")
    require_begun(part)
    try:
        _bring(remote, target, part, unpacks)
        if _is_page(part):
            raise PageInsteadOfFile
    except PageInsteadOfFile as error:
        discard(part)
        raise InputError(
            f"{remote.link} sent a page instead of the file (its download quota may be used up); fetch it by a "
            f"browser from {remote.link}, put it at {target} and run the same command again"
        ) from error
    _accept(part, remote, target, unpacks)
    return target


def verify(path: Path, remote: RemoteFile) -> None:
    """Make sure that a file which is there already is complete, as far as one can tell.

    Raises:
        InputError: it is not.
    """
    fault = _fault(path, remote)
    if fault:
        raise InputError(
            f"{path} {fault}; remove it and run the same command again, or put the file from {remote.link} in its place"
        )


def _bring(remote: RemoteFile, target: Path, part: Path, unpacks: bool) -> None:
    def check_disk(announced: int | None, received: int) -> None:
        size = announced or remote.size or remote.rough_size or 0
        require_space(
            target.parent, size - received + unpacks * size, f"fetching {'and unpacking ' * unpacks}{target.name}"
        )

    if remote.drive_id is None:
        _persist(remote, target, lambda: transfer(remote.link, part, check_disk))
    else:
        check_disk(None, _received(target))
        _persist(remote, target, lambda: _transfer_from_drive(remote.drive_id, target, part))


def _persist(remote: RemoteFile, target: Path, attempt: Callable[[], None]) -> None:
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
    found = target.parent.iterdir() if target.parent.is_dir() else ()
    parts = [path for path in found if path.name.startswith((f"{target.name}.part", f"{target.name}.drive"))]
    return sum(path.stat().st_size for path in parts if path.suffix != ".tag")


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
    begin(part)
    os.replace(complete, part)


def _accept(part: Path, remote: RemoteFile, target: Path, recorded: bool) -> None:
    """Give a complete partial file its name, or remove it if it is not what it should be."""
    fault = _fault(part, remote)
    if fault:
        discard(part)
        raise InputError(f"{target.name} from {remote.link} {fault}, so it was removed; run the same command again")
    digest = remote.sha256 or file_sha256(part)
    if remote.sha256 is None:
        print(f"{target.name}: {part.stat().st_size} bytes, sha256 {digest}", flush=True)
    if recorded:
        add_to_record(target.parent, {"files": {target.name: digest}})
    os.replace(part, target)
    discard(part)


def _fault(path: Path, remote: RemoteFile) -> str:
    """What is wrong with a file; empty if nothing is."""
    size = path.stat().st_size
    if _is_page(path):
        return "is a web page instead of the file"
    if remote.size is not None and size != remote.size:
        return f"has {size} bytes instead of {remote.size}"
    if remote.sha256 is not None and file_sha256(path) != remote.sha256:
        return f"does not have the sha256 {remote.sha256}"
    if not zipfile.is_zipfile(path) and not tarfile.is_tarfile(path) and not _is_pickle(path):
        return "is incomplete or not the file that it should be"
    return ""


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGE_BEGINNINGS)


def _is_pickle(path: Path) -> bool:
    """Weights as PyTorch saved them before 1.6."""
    with path.open("rb") as file:
        return file.read(1) == PICKLE


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file, Progress(path.stat().st_size, in_bytes=True) as progress:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
            progress.advance("sha256", len(chunk))
    return digest.hexdigest()
