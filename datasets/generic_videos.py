"""Any videos with any masks: folders of frames, video files and live video, and the masks of some of their frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotated_video import SHOWN_RATE, AnnotatedVideo, LiveAnnotatedVideo
from datasets.frame_sources import FrameFolder, FrameSource
from datasets.live_video import is_live
from datasets.mask_files import MaskReader, read_objects
from datasets.movie_sources import FrameFile, LiveFrames
from datasets.sizing import FULL_SIZE, Sizing
from util.errors import InputError
from util.images import IMAGE_SUFFIXES, list_images, natural_key

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
MASK_SUFFIXES = IMAGE_SUFFIXES - {".jpg", ".jpeg"}
DIRECTIONS = ("forward", "backward", "both")

Masks = Path | tuple[Path, ...]


@dataclass(frozen=True)
class Wishes:
    """How videos are to be segmented.

    Attributes:
        start: position or name of the frame that a mask belongs to whose own name does not say so.
        direction, sizing: see `AnnotatedVideo`.
        rate: frames per second of folders of pictures when they are shown.
        max_frames: after which live video ends; None for no limit.
        truth: folder with true masks of all frames, one folder for each video; None where there are none.
    """

    start: str | None = None
    direction: str = "forward"
    sizing: Sizing = FULL_SIZE
    rate: Fraction = SHOWN_RATE
    max_frames: int | None = None
    truth: Path | None = None


class GenericDataset:
    """The videos below a path.

    Args:
        source: a folder of pictures, a video file, a folder of such, or live video (see `LiveVideo`). A folder that
            holds JPEGImages and Annotations gives the videos and their masks.
        masks: files or a folder. One file is the mask of one frame; several are masks of one object each. A folder
            holds <frame>.png, or <frame>/<object>.png, for each annotated frame. Where there are several videos it
            holds <video>/ with such files, or <video>.png.
        wishes: see `Wishes`.

    Raises:
        InputError: something is missing or does not fit.
    """

    merged = False
    archive_folder = ""
    split = "generic"

    def __init__(self, source: str, masks: Sequence[Path], wishes: Wishes) -> None:
        self._wishes = wishes
        root = Path(source)
        if not masks and (root / "Annotations").is_dir():
            root, masks = root / "JPEGImages", [root / "Annotations"]
        if not masks:
            raise InputError(f"there is no mask for {source}; pass --masks FILE or FOLDER")
        for path in masks:
            if not path.exists():
                raise InputError(f"mask {path} does not exist; check --masks")
        self.truth = wishes.truth or root
        self.inputs = [*masks, *([] if wishes.truth is None else [wishes.truth])]
        if is_live(source):
            self.videos: list[AnnotatedVideo] = [self._open_live(source, masks)]
            return
        self.inputs.append(root)
        places = find_videos(root)
        several = places != [root]
        self.videos = [self._open(place, _masks_of(_name(place), masks) if several else masks) for place in places]

    def _open(self, place: Path, masks: Sequence[Path]) -> AnnotatedVideo:
        wishes = self._wishes
        source = FrameFolder(place) if place.is_dir() else FrameFile(place)
        return open_video(
            AnnotatedVideo,
            _name(place),
            source,
            assign_masks(source, masks, wishes.start),
            direction=wishes.direction,
            sizing=wishes.sizing,
            rate=source.rate if isinstance(source, FrameFile) else wishes.rate,
            times=source.times if isinstance(source, FrameFile) else None,
            has_truth=wishes.truth is not None and (wishes.truth / _name(place)).is_dir(),
        )

    def _open_live(self, name: str, masks: Sequence[Path]) -> AnnotatedVideo:
        wishes = self._wishes
        source = LiveFrames(name, wishes.max_frames)
        if wishes.direction != "forward":
            raise InputError(f"{source.name} is live and cannot be read backwards; use --direction forward")
        return open_video(
            LiveAnnotatedVideo,
            Path(source.name).name,
            source,
            assign_masks(source, masks, wishes.start),
            sizing=wishes.sizing,
            rate=source.rate,
        )


def open_video(
    kind: type[AnnotatedVideo], name: str, source: FrameSource, masks: Mapping[int, Masks], **wishes: Any
) -> AnnotatedVideo:
    """A video with masks in any form; its results get the colours of the masks."""
    reader = MaskReader()

    def read(files: Masks) -> np.ndarray:
        return read_objects(files) if isinstance(files, tuple) else reader.read(files)

    video = kind.open(name, source, masks, read, **wishes)
    return replace(video, palette=reader.palette)


def find_videos(root: Path) -> list[Path]:
    """A path that is a video, or else the videos in it: folders of pictures and video files, in natural order.

    Raises:
        InputError: there is none.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError(f"{root} does not exist; pass a folder of pictures, a video file or a folder of such")
    things = [thing for thing in root.iterdir() if not thing.name.startswith(".")]
    if any(thing.suffix.lower() in IMAGE_SUFFIXES for thing in things):
        return [root]
    videos = [thing for thing in things if thing.is_dir() or thing.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise InputError(f"{root} holds no pictures and no videos; pass a folder that does")
    return sorted(videos, key=natural_key)


def assign_masks(source: FrameSource, masks: Sequence[Path], start: str | None) -> dict[int, Masks]:
    """The masks of each annotated position.

    Raises:
        InputError: a mask belongs to no frame, or there is none.
    """
    if len(masks) > 1:
        return {_position(source, start): tuple(masks)}
    only = masks[0]
    found = _list_masks(only) if only.is_dir() else {only.stem: only}
    if not found:
        raise InputError(f"folder {only} holds no mask ({', '.join(sorted(MASK_SUFFIXES))}); check --masks")
    positions = {name: _find(source, name) for name in found}
    if len(found) == 1 and (start is not None or None in positions.values()):
        return {_position(source, start): next(iter(found.values()))}
    strays = [path for name, path in found.items() if positions[name] is None]
    if strays:
        raise InputError(
            f"mask {strays[0]} belongs to no frame; name masks like their frames, e.g. {source.names[0]}.png"
        )
    return {positions[name]: files for name, files in found.items()}


def _list_masks(folder: Path) -> dict[str, Masks]:
    """Masks by the name of their frame; a folder of that name holds one for each object."""
    found: dict[str, Masks] = {}
    for thing in sorted(folder.iterdir(), key=natural_key):
        if thing.is_dir() and not thing.name.startswith("."):
            found[thing.name] = tuple(list_images(thing))
        elif thing.suffix.lower() in MASK_SUFFIXES and not thing.name.startswith("."):
            found[thing.stem] = thing
    return found


def _find(source: FrameSource, name: str) -> int | None:
    """The position of the frame of this name."""
    if isinstance(source, FrameFolder):
        return source.names.index(name) if name in source.names else None
    return int(name) if name.isdecimal() and int(name) < len(source.names) else None


def _position(source: FrameSource, start: str | None) -> int:
    """The position that --start means: the name of a frame, else a number; 0 without it."""
    if start is None:
        return 0
    found = _find(source, start)
    if found is None and start.isdecimal() and int(start) < len(source.names):
        found = int(start)
    if found is None:
        raise InputError(f"there is no frame {start}; pass --start with the name of a frame or a position from 0")
    return found


def _name(place: Path) -> str:
    return place.resolve().name if place.is_dir() else place.stem


def _masks_of(name: str, masks: Sequence[Path]) -> list[Path]:
    """The masks of one of several videos."""
    folder = masks[0]
    if len(masks) > 1 or not folder.is_dir():
        raise InputError(f"{folder} is one mask but there are several videos; pass a folder with <video>/<frame>.png")
    for place in (folder / name, *(folder / f"{name}{suffix}" for suffix in sorted(MASK_SUFFIXES))):
        if place.exists():
            return [place]
    raise InputError(f"folder {folder} has no mask for video {name}; add {name}/<frame>.png or {name}.png")
