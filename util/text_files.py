"""Text, JSON and tables of numbers as other people and other programs save them."""

import codecs
import json
from pathlib import Path
from typing import Any

import numpy as np

from util.errors import InputError

LARGEST = 1 << 28  # bytes of a text file
MOST_DIGITS = 100  # of a whole number in JSON
MOST_SHOWN = 60  # characters of a line in a message


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Text as editors of any system save it: UTF-8, with or without byte order mark, or UTF-16 with one.

    Args:
        path: of the file.
        largest: the most bytes that it may have.

    Raises:
        InputError: it is none of these, or larger.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise InputError(f"{path} has more than {largest >> 20} MiB and is no list or table; check the path")
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 or UTF-16; save it as UTF-8") from error
    if "\0" in text:
        raise InputError(f"{path} is no text in UTF-8 or UTF-16; save it as UTF-8")
    return text


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """What a JSON file of at most so many bytes holds.

    Raises:
        InputError: it is no text or no JSON, is nested too deeply, or an object in it has a key twice.
        OSError: the file cannot be read.
    """
    try:
        return json.loads(
            read_text(path, largest), object_pairs_hook=_unique, parse_int=_whole, parse_constant=_no_number
        )
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply to be read; fetch or write it again") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error!s:.100}); fetch or write it again") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.50} is there twice")
    return found


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def read_numbers(path: Path) -> np.ndarray:
    """The numbers of a text file, (rows, columns) float64, separated by commas, tabs or spaces; NaN is a number.

    A comma is a separator, never a decimal comma; empty lines and a comma at the end of a line are left out.

    Raises:
        InputError: the file is missing or empty, or holds something else or rows of different lengths.
    """
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); fetch the file again") from error
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _numbers_of(line)
        if row is None:
            hint = "; separate numbers by commas, tabs or spaces" if ";" in line else ""
            raise InputError(f"{path} is no table of numbers, line {number} is {_show(line)}{hint}; write it again")
        if rows and len(row) != len(rows[0]):
            counts = f"{len(row)} numbers in line {number}, but {len(rows[0])} in the first"
            raise InputError(f"{path} is no table of numbers, it has {counts}; fetch or write it again")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} is empty; fetch or write it again")
    return np.array(rows)


def _numbers_of(line: str) -> list[float] | None:
    """The numbers of a line; None if it holds anything else."""
    if "_" in line or not line.isascii():  # both of which Python would read
        return None
    try:
        parts = line.strip().removesuffix(",").split(",")
        return [float(cell) for part in parts for cell in part.split() or [part]]
    except ValueError:
        return None


def _show(line: str) -> str:
    return repr(line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}...")
