"""The meta.json of YouTube-VOS: the frames of each object that the server scores."""

import os
from collections.abc import Iterator
from pathlib import Path

from util.errors import InputError
from util.text_files import read_json

ENDINGS = (".jpg", ".jpeg", ".png")
LONGEST = 255  # characters of a file name


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


def _frames_of(name: str, video: object) -> Iterator[str]:
    for key, thing in video["objects"].items():
        if not isinstance(thing["frames"], list):
            raise TypeError(f"frames of object {key:.20} of video {name:.50} are no list")
        for frame in thing["frames"]:
            if isinstance(frame, bool) or not isinstance(frame, str | int) or len(str(frame)) > LONGEST:
                raise TypeError(f"{frame!r:.50} is no name of a frame of video {name:.50}")
            yield _without_ending(str(frame))


def _without_ending(frame: str) -> str:
    stem, dot, ending = frame.rpartition(".")
    return stem if f"{dot}{ending}".lower() in ENDINGS else frame
