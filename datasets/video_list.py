"""Lists of the names of videos or pictures, and the meta.json of YouTube-VOS."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from util.errors import InputError
from util.text_files import read_json, read_text

ENDINGS = (".jpg", ".jpeg", ".png")
LONGEST = 255  # characters of a file name

Told = TypeVar("Told")


def read_video_list(path: Path) -> list[str]:
    """Names of videos from a list with one on each line, in its order, each once.

    Lines that begin with the path of a frame (DAVIS 2016, ImageSets/480p) give the folder of that frame. Blank lines
    and those that begin with # are left out.

    Raises:
        InputError: the file is no text in UTF-8, nor in UTF-16 with a byte order mark.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    return list(dict.fromkeys(_video_of(line) for line in lines if line and not line.startswith("#")))


def read_given_list(path: Path, option: str) -> list[str]:
    """`read_video_list` of a file that the user names.

    Args:
        path: of the list.
        option: by which it is given, without dashes.

    Raises:
        InputError: see `read_video_list`, or the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"list of videos {path} does not exist; check --{option}")
    return read_video_list(path)


def read_picture_list(path: Path, option: str) -> list[str]:
    """Names of pictures from a list of the user with one on each line, such as ecssd/0001, in its order, each once.

    Blank lines and those that begin with # are left out.

    Args:
        path: of the list.
        option: by which it is given, without dashes.

    Raises:
        InputError: the file does not exist, or is no text.
    """
    if not path.is_file():
        raise InputError(f"list of pictures {path} does not exist; check --{option}")
    lines = [line.strip() for line in read_text(path).splitlines()]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _video_of(line: str) -> str:
    """The video that a line names: a path's folder, else the whole line."""
    first = Path(line.split()[0])
    return first.parent.name or (line if "/" not in line else first.name)


def choose_videos(names: Sequence[str], only: Sequence[str], origin: Path) -> list[str]:
    """Of the names those in `only`, or all where it is empty, in the order of the names.

    Args:
        names, only: names of videos.
        origin: where the names are from, for messages.

    Raises:
        InputError: there are no names, or a name of `only` is not among them.
    """
    if not names:
        raise InputError(f"list of videos {origin} is empty; give another one")
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f"video {unknown[0]} is not in {origin}; check the name, or give a list that has it")
    return [name for name in names if name in only] if only else list(names)


def read_scored_frames(path: Path) -> dict[str, set[str]] | None:
    """For each video of a meta.json what it calls the frames in which an object is scored; None without the file.

    Frames are called by their names or numbers; the endings of their files are taken off.

    Raises:
        InputError: the file is damaged or of another form.
    """
    if not os.path.lexists(path):
        return None
    content = read_json(path)
    try:
        return {name: set(_frames_of(name, video)) for name, video in content["videos"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a meta.json of YouTube-VOS ({error!r:.200}); fetch it again") from error


def _frames_of(name: str, video: Any) -> Iterator[str]:
    for key, thing in video["objects"].items():
        if not isinstance(thing["frames"], list):
            raise TypeError(f"frames of object {key:.20} of video {name:.50} are no list")
        for frame in thing["frames"]:
            if isinstance(frame, bool) or not isinstance(frame, str | int) or len(str(frame)) > LONGEST:
                raise TypeError(f"{frame!r:.50} is no name of a frame of video {name:.50}")
            yield _without_ending(str(frame))


@dataclass(frozen=True)
class ObjectFrames:
    """The frames of an object that a meta.json tells of.

    Attributes:
        first: name or number of the frame in which it is first given.
        last: number of its last frame; None where it is not told.
        count: how many annotated frames it has; None where it is not told.
        names: of all its frames; empty where they are not told.
    """

    first: str
    last: int | None = None
    count: int | None = None
    names: tuple[str, ...] = ()


def read_object_frames(path: Path) -> dict[str, dict[int, ObjectFrames]]:
    """The objects of each video of a meta.json of the form of YouTube-VOS (`frames`) or of LVOS (`frame_range`).

    Raises:
        InputError: the file is damaged or of another form.
    """
    return _by_object(path, "frames", _object_frames)


def read_categories(path: Path) -> dict[str, dict[int, str]]:
    """The category of each object of each video of a meta.json of YouTube-VOS.

    Raises:
        InputError: the file is damaged or of another form.
    """
    return _by_object(path, "categories", lambda thing: str(thing["category"]))


def _by_object(path: Path, what: str, read: Callable[[Any], Told]) -> dict[str, dict[int, Told]]:
    """What `read` finds in the entry of each object of each video."""
    content = read_json(path)
    try:
        return {
            video: {int(key): read(thing) for key, thing in entry["objects"].items()}
            for video, entry in content["videos"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path} does not tell the {what} of objects ({error!r:.200}); fetch it again") from error


def _object_frames(thing: Any) -> ObjectFrames:
    if "frame_range" not in thing:
        names = tuple(_without_ending(str(name)) for name in thing["frames"])
        return ObjectFrames(names[0], names=names)
    span = thing["frame_range"]
    return ObjectFrames(str(span["start"]), int(span["end"]), int(span["frame_nums"]))


def _without_ending(frame: str) -> str:
    stem, dot, ending = frame.rpartition(".")
    return stem if f"{dot}{ending}".lower() in ENDINGS else frame
