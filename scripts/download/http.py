"""One attempt at bringing a file over HTTP, going on where the last attempt stopped."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from util.errors import InputError
from util.files import name_errors
from util.progress import Progress

CHUNK = 1 << 20
TIMEOUT = 60.0
PARTIAL = 206
NOT_SATISFIABLE = 416
PASSING_ANSWERS = frozenset({408, 429, 500, 502, 503, 504})


class BrokenTransfer(Exception):
    """A transfer that ended early; another attempt may bring the rest."""


class PageInsteadOfFile(Exception):
    """The server answered with a web page."""


def transfer(url: str, part: Path, prepare: Callable[[int | None, int], None]) -> None:
    """Append to `part` what is missing of `url`; a server that cannot do this sends everything again.

    Args:
        url: of the file, http or https.
        part: the partial file. Beside it lies `<part>.tag`, the server's mark of this version of the file.
        prepare: called before anything is written with the announced size of the whole file in bytes, or None, and
            the number of bytes that are there already.

    Raises:
        BrokenTransfer: it ended early.
        PageInsteadOfFile: the server sent HTML.
        InputError: the server refuses for good, or `prepare` does.
    """
    try:
        response = _ask(url, part)
    except HTTPError as error:
        _judge_refusal(url, part, error)
        return
    except (OSError, HTTPException) as error:
        raise BrokenTransfer(str(error)) from error
    except (ValueError, OverflowError) as error:
        raise InputError(f"{url} is no address that can be asked ({error}); change --mirror") from error
    with response, name_errors(part):
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise PageInsteadOfFile
        received = _kept_bytes(response, part)
        total = _total_size(response, received)
        prepare(total, received)
        begin(part, _version(response.headers))
        with part.open("ab" if received else "wb") as file, Progress(total or 0, in_bytes=True) as progress:
            progress.advance(part.stem, received)
            received += _copy(response, file, lambda count: progress.advance(part.stem, count))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and received < total:
        raise BrokenTransfer(f"{received} of {total} bytes came")


def begin(part: Path, version: str = "") -> None:
    """Mark a partial file as ours, before it is written."""
    _tag_file(part).write_text(version, encoding="utf-8")


def require_begun(part: Path) -> None:
    """Make sure that a partial file, if there is one, is ours: browsers use the same suffix.

    Raises:
        InputError: it is not.
    """
    if os.path.lexists(part) and not _tag_file(part).is_file():
        raise InputError(f"{part} is not known as written by this project; move it away and run the same command again")


def discard(part: Path) -> None:
    """Remove a partial file and its mark."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _version(headers: Message) -> str:
    """What tells this version of a file from another one; empty if the server does not say."""
    strong = headers.get("ETag", "")
    return strong if strong and not strong.startswith("W/") else headers.get("Last-Modified", "")


def _ask(url: str, part: Path) -> HTTPResponse:
    headers = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0"}
    version = _known_version(part)
    if version and part.is_file() and part.stat().st_size:
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": version}
    return urlopen(Request(url, headers=headers), timeout=TIMEOUT)


def _known_version(part: Path) -> str:
    """Of the file that `part` was begun from; empty if it is not known, so that nothing can be added to `part`."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        return _tag_file(part).read_text(encoding="utf-8")
    return ""


def _judge_refusal(url: str, part: Path, error: HTTPError) -> None:
    """Return if nothing is missing; else raise what the refusal means."""
    if error.code == NOT_SATISFIABLE and part.is_file():
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if whole and int(whole[1]) == part.stat().st_size:
            return
        discard(part)
        raise BrokenTransfer("the partial file does not belong to the file of the server") from error
    if error.code in PASSING_ANSWERS:
        raise BrokenTransfer(f"the server answers {error.code} {error.reason}") from error
    reason = " ".join(str(error.reason).split())
    raise InputError(
        f"{url} cannot be fetched ({error.code} {reason}); check the address, or leave out or change --mirror"
    ) from error


def _kept_bytes(response: HTTPResponse, part: Path) -> int:
    """How many bytes of `part` the answer continues."""
    if response.status != PARTIAL:
        return 0
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    is_same = _version(response.headers) in ("", _known_version(part))
    if start is None or not is_same or not part.is_file() or int(start[1]) != part.stat().st_size:
        discard(part)
        raise BrokenTransfer("the server sent another range than the one asked for")
    return int(start[1])


def _total_size(response: HTTPResponse, received: int) -> int | None:
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if whole and response.status == PARTIAL:
        return int(whole[1])
    length = response.headers.get("Content-Length", "")
    return received + int(length) if length.isdecimal() else None


def _copy(response: HTTPResponse, file: IO[bytes], advance: Callable[[int], None]) -> int:
    count = 0
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise BrokenTransfer(str(error)) from error
        if not chunk:
            return count
        file.write(chunk)
        count += len(chunk)
        advance(len(chunk))
