"""Which frame a mask belongs to.

A mask belongs to the frame whose name it has, else to the one with its number, where its name is nothing but a number
or is built like the frames' names. Everything else is for --start to say.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from datasets.frame_files import NumberedNames
from util.errors import InputError

MOST_FRAMES = 10**9


class By(Enum):
    """What ties a mask to a frame: its name, its number, a number in another name, or nothing."""

    NAME = "name"
    NUMBER = "number"
    ANOTHER_NAME = "another name"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Match:
    """The frame positions that a mask's name can mean, and why."""

    by: By
    positions: tuple[int, ...] = ()


class FrameNames:
    """The names of a video's frames, looked up by mask names.

    Args:
        names: of the frames, in order. Those of video files may be endless.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._positions: dict[str, int] = {}
        self._numbered: dict[int, list[int]] = defaultdict(list)
        self._forms = {("", "")}
        if not isinstance(names, NumberedNames):
            for position, name in enumerate(names):
                self._positions[name] = position
                parts = _split(name)
                if parts:
                    self._numbered[parts[1]].append(position)
                    self._forms.add((parts[0], parts[2]))

    def __str__(self) -> str:
        count = len(self.names)
        last = "" if count > MOST_FRAMES else f" {self.names[count - 1]}"
        return self.names[0] if count == 1 else f"{self.names[0]} ...{last}"

    def exact(self, name: str) -> int | None:
        """The position of the frame of this name."""
        if not isinstance(self.names, NumberedNames):
            return self._positions.get(name)
        number = int(name) if name.isascii() and name.isdecimal() else None
        return number if number is not None and number < len(self.names) and self.names[number] == name else None

    def find(self, name: str) -> Match:
        """What a mask's name says."""
        position = self.exact(name)
        if position is not None:
            return Match(By.NAME, (position,))
        parts = _split(name)
        if parts is None:
            return Match(By.NOTHING)
        positions = self._of_number(parts[1])
        if (parts[0], parts[2]) in self._forms:
            return Match(By.NUMBER, positions)
        return Match(By.ANOTHER_NAME, positions) if positions else Match(By.NOTHING)

    def _of_number(self, number: int) -> tuple[int, ...]:
        if isinstance(self.names, NumberedNames):
            return (number,) if number < len(self.names) else ()
        return tuple(self._numbered.get(number, ()))

    def start(self, text: str) -> tuple[int, str]:
        """The position that --start means, a name before a position, and a remark where it could be either.

        Raises:
            InputError: it is neither.
        """
        found = self.exact(text)
        is_number = text.isascii() and text.isdecimal() and len(text) < 19
        position = int(text) if is_number and int(text) < len(self.names) else None
        if found is None and position is None:
            raise InputError(
                f"there is no frame {text} (frames are {self}); pass --start with the name of a frame or a position"
                " from 0"
            )
        if found is None:
            return position, ""
        other = position is not None and position != found and not isinstance(self.names, NumberedNames)
        return found, f"--start {text} is the frame of this name, not position {text}" if other else ""

    def of_masks(self, masks: Mapping[str, object]) -> dict[str, tuple[int, str]]:
        """The position of each of several masks (by name), with a remark where only numbers agree.

        Raises:
            InputError: a mask belongs to no frame, to more than one, or to one that has another mask.
        """
        found: dict[str, tuple[int, str]] = {}
        taken: dict[int, str] = {}
        for name, shown in masks.items():
            match = self.find(name)
            if match.by not in (By.NAME, By.NUMBER) or not match.positions:
                raise InputError(
                    f"mask {_show(shown)} belongs to no frame (frames are {self}); name masks like their frames,"
                    f" e.g. {self.names[0]}.png, or give a single one with --start FRAME"
                )
            if len(match.positions) > 1:
                raise self._several(shown, match)
            position = match.positions[0]
            if position in taken:
                raise InputError(
                    f"masks {taken[position]} and {name} both belong to frame {self.names[position]};"
                    f" remove {_show(shown)} or rename it"
                )
            taken[position] = name
            found[name] = position, self._taken_for(name, match)
        return found

    def of_single(self, name: str, shown: object) -> tuple[int, str]:
        """The position of the only mask, the first frame if its name tells nothing, and a remark unless it is exact.

        Raises:
            InputError: its name can mean more than one frame, or a frame that there is not.
        """
        match = self.find(name)
        if len(match.positions) > 1:
            raise self._several(shown, match)
        if match.by is By.ANOTHER_NAME and match.positions != (0,):
            raise InputError(
                f"mask {_show(shown)} may belong to the first frame, {self.names[0]}, or to frame"
                f" {self.names[match.positions[0]]} of its number; pass --start FRAME"
            )
        if match.by is By.NUMBER and not match.positions:
            raise InputError(
                f"mask {_show(shown)} belongs to no frame (frames are {self}); name it like its frame"
                " or pass --start FRAME"
            )
        if match.by in (By.NAME, By.NUMBER):
            return match.positions[0], self._taken_for(name, match)
        return 0, f"taken for the first frame, {self.names[0]}"

    def _taken_for(self, name: str, match: Match) -> str:
        return (
            "" if match.by is By.NAME else f"{name} is taken for frame {self.names[match.positions[0]]} of its number"
        )

    def _several(self, shown: object, match: Match) -> InputError:
        first, second = (self.names[position] for position in match.positions[:2])
        return InputError(f"mask {_show(shown)} may belong to frame {first} or {second}; pass --start FRAME")


def _show(mask: object) -> Path:
    """A mask's file, or of one file for each object the folder."""
    return mask[0].parent if isinstance(mask, tuple) else mask


def _split(name: str) -> tuple[str, int, str] | None:
    """What stands before the last number of a name, the number, and what stands behind; None without a number."""
    parts = re.fullmatch(r"(.*?)(\d+)(\D*)", name, re.ASCII | re.DOTALL)
    return (parts[1], int(parts[2]), parts[3]) if parts else None
