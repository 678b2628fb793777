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

from datasets.frame_files import FrameSource, NumberedNames
from util.errors import InputError
from util.images import IMAGE_SUFFIXES, is_clutter, list_images, natural_key

MOST_FRAMES = 10**9
MASK_SUFFIXES = IMAGE_SUFFIXES - {".jpg", ".jpeg"}

Masks = Path | tuple[Path, ...]


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
        can_be_asked: whether the command line has --start, which messages then name.
    """

    def __init__(self, names: Sequence[str], *, can_be_asked: bool = False) -> None:
        self.names = names
        self._can_be_asked = can_be_asked
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

    def or_start(self, condition: str = "") -> str:
        """A remedy beside another one, where the command line has it."""
        return f", or pass --start FRAME{condition}" if self._can_be_asked else ""

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
        if found is not None:
            other = position is not None and position != found and not isinstance(self.names, NumberedNames)
            return found, f"--start {text} is the frame of this name, not position {text}" if other else ""
        if position is not None:
            return position, ""
        raise InputError(
            f"there is no frame {text} (frames are {self}); pass --start with the name of a frame or a position from 0"
        )

    def of_masks(self, masks: Mapping[str, Masks]) -> dict[str, tuple[int, str]]:
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
                    f" e.g. {self.names[0]}.png{self.or_start(' with a single one')}"
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

    def of_single(self, name: str, shown: Masks) -> tuple[int, str]:
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
                f" {self.names[match.positions[0]]} of its number; name it like its frame{self.or_start()}"
            )
        if match.by is By.NUMBER and not match.positions:
            raise InputError(
                f"mask {_show(shown)} belongs to no frame (frames are {self}); name it like its frame{self.or_start()}"
            )
        if match.by in (By.NAME, By.NUMBER):
            return match.positions[0], self._taken_for(name, match)
        return 0, f"taken for the first frame, {self.names[0]}"

    def _taken_for(self, name: str, match: Match) -> str:
        return (
            "" if match.by is By.NAME else f"{name} is taken for frame {self.names[match.positions[0]]} of its number"
        )

    def _several(self, shown: Masks, match: Match) -> InputError:
        first, second = (self.names[position] for position in match.positions[:2])
        return InputError(
            f"mask {_show(shown)} may belong to frame {first} or {second}; name it like its frame{self.or_start()}"
        )


@dataclass(frozen=True)
class Assigned:
    """The masks of one frame, and why they are its.

    Attributes:
        masks: one file, or one for each object.
        remark: what is to be said of it; empty where names agree.
    """

    masks: Masks
    remark: str = ""


def assign_masks(
    source: FrameSource,
    masks: Sequence[Path],
    start: str | None,
    video: str | None = None,
    *,
    can_be_asked: bool = True,
) -> dict[int, Assigned]:
    """The masks of each annotated position.

    Args:
        source: the frames.
        masks: a folder or a file, or files: masks of several frames if they are named like these, else of one object
            each, all on one frame.
        start: name or position of the frame of a single mask, or of the objects.
        video: a mask of this name is the video's and tells no frame.
        can_be_asked: see `FrameNames`.

    Raises:
        InputError: a mask belongs to no frame or may belong to several, or there is none.
    """
    names = FrameNames(source.names, can_be_asked=can_be_asked)
    if len(masks) > 1:
        return _assign_files(names, masks, start)
    only = masks[0]
    found = _list_masks(only) if only.is_dir() else {only.stem: only}
    if not found:
        raise InputError(f"folder {only} holds no mask ({', '.join(sorted(MASK_SUFFIXES))}); check --masks")
    if len(found) > 1:
        places = names.of_masks(found)
        return {position: Assigned(found[name], remark) for name, (position, remark) in places.items()}
    name, files = next(iter(found.items()))
    if start is not None:
        position, remark = names.start(start)
        other = names.exact(name)
        if not remark and other is not None and other != position:
            remark = f"--start gives it to this frame, though its name is that of frame {name}"
    elif name == video and not only.is_dir():
        position, remark = _first_of_video(names, only)
    else:
        position, remark = names.of_single(name, files)
    return {position: Assigned(files, remark)}


def _first_of_video(names: FrameNames, path: Path) -> tuple[int, str]:
    """The first frame, for a mask that is named after its video, unless a frame has that name too."""
    if names.exact(path.stem) not in (None, 0):
        raise InputError(
            f"mask {path} has the name of its video and of frame {path.stem} in it; put it into a folder {path.stem}/"
            f" under the name of its frame{names.or_start()}"
        )
    return 0, ""


def _assign_files(names: FrameNames, masks: Sequence[Path], start: str | None) -> dict[int, Assigned]:
    """Several files: annotated frames, if all are named like frames, else one for each object of a frame."""
    if start is not None:
        position, remark = names.start(start)
        return {position: Assigned(tuple(masks), remark)}
    folders = [path for path in masks if path.is_dir()]
    if folders:
        raise InputError(f"{folders[0]} is a folder and there are other masks; pass one folder or only files")
    matches = {path: names.find(path.stem) for path in masks}
    exact = [path for path in masks if matches[path].by is By.NAME]
    others = [path for path in masks if path not in exact]
    if exact and others:
        raise InputError(
            f"mask {exact[0]} is named like a frame but {others[0]} is not; pass masks of frames by themselves"
            f"{names.or_start(' if each holds one object of that frame')}"
        )
    if exact:
        places = names.of_masks({path.stem: path for path in masks})
        if len(places) < len(masks):
            raise InputError(f"two masks are named {masks[0].stem}; give each frame one")
        found = {path.stem: path for path in masks}
        return {
            position: Assigned(found[name], "a frame of its own, as its name says")
            for name, (position, _) in places.items()
        }
    if all(match.by is By.NUMBER and match.positions for match in matches.values()):
        raise InputError(
            f"masks {masks[0]}, ... may be of frames {matches[masks[0]].positions[0]}, ... or hold one object each;"
            f" name them like frames, e.g. {names.names[0]}.png"
            f"{names.or_start(' if they are objects of one frame')}"
        )
    return {0: Assigned(tuple(masks), f"one object from each of {len(masks)} files, on the first frame")}


def _list_masks(folder: Path) -> dict[str, Masks]:
    """Masks by the name of their frame; a folder of that name holds one for each object.

    Raises:
        InputError: two have one name.
    """
    found: dict[str, Masks] = {}
    for thing in sorted(folder.iterdir(), key=natural_key):
        if is_clutter(thing.name) or not (thing.is_dir() or thing.suffix.lower() in MASK_SUFFIXES):
            continue
        name = thing.name if thing.is_dir() else thing.stem
        if name in found:
            raise InputError(f"folder {folder} holds two masks named {name}; remove one")
        found[name] = tuple(list_images(thing)) if thing.is_dir() else thing
    return found


def _show(mask: Masks) -> Path:
    """A mask's file, or of one file for each object the folder."""
    return mask[0].parent if isinstance(mask, tuple) else mask


def _split(name: str) -> tuple[str, int, str] | None:
    """What stands before the last number of a name, the number, and what stands behind; None without a number."""
    parts = re.fullmatch(r"(.*?)(\d+)(\D*)", name, re.ASCII | re.DOTALL)
    return (parts[1], int(parts[2]), parts[3]) if parts else None
