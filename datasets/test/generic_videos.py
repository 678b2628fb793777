"""Any videos with any masks: folders of frames, video files and live video, and the masks of some of their frames."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from datasets.frame_files import FrameFolder, FrameSource
from datasets.mask_files import read_objects
from datasets.mask_reader import MaskReader, MaskRules
from datasets.test.annotated_video import SHOWN_RATE, AnnotatedVideo, LiveAnnotatedVideo
from datasets.test.live_video import LiveVideo, is_live
from datasets.test.mask_frames import By, FrameNames
from datasets.test.mask_notes import note_lines, printable
from datasets.test.sizing import FULL_SIZE, Sizing
from datasets.test.video_file import VideoFile
from evaluation.video import Video
from util.errors import InputError
from util.files import real_path
from util.images import IMAGE_SUFFIXES, is_clutter, list_images, natural_key, require_text

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
MASK_SUFFIXES = IMAGE_SUFFIXES - {".jpg", ".jpeg"}
DIRECTIONS = ("forward", "backward", "both")

Masks = Path | tuple[Path, ...]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """How videos are to be segmented.

    Attributes:
        start: position or name of the frame that a mask belongs to whose own name does not say so.
        direction, sizing: see `AnnotatedVideo`.
        rate: frames per second of folders of pictures when they are shown.
        max_frames: after which live video ends; None for no limit.
        truth: folder with true masks of all frames, one folder for each video; None where there are none.
        rules: what the values of masks mean.
    """

    start: str | None = None
    direction: str = "forward"
    sizing: Sizing = FULL_SIZE
    rate: Fraction = SHOWN_RATE
    max_frames: int | None = None
    truth: Path | None = None
    rules: MaskRules = field(default_factory=MaskRules)


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
        self.inputs = [*([] if is_live(source) else [root]), *masks, *filter(None, [wishes.truth])]
        if is_live(source):
            self.videos: list[AnnotatedVideo] = [self._open_live(source, masks)]
            return
        places = find_videos(root, masks)
        for place in places:
            require_text(place)
        several = places != [root]
        if several:
            self.videos = [self._open(place, _masks_of(_name(place), masks)) for place in places]
        else:
            self.videos = [self._open(root, _masks_within(_name(root), masks))]

    def lines_on_masks(self, videos: Sequence[Video]) -> list[str]:
        """See `NotedMasks`."""
        names = {video.name for video in videos}
        return note_lines([note for video in self.videos if video.name in names for note in video.notes])

    def _open(self, place: Path, masks: Sequence[Path]) -> AnnotatedVideo:
        wishes = self._wishes
        source = FrameFolder(place) if place.is_dir() else VideoFile(place)
        return open_video(
            AnnotatedVideo,
            _name(place),
            source,
            assign_masks(source, masks, wishes.start, video=_name(place)),
            wishes.rules,
            direction=wishes.direction,
            sizing=wishes.sizing,
            rate=source.rate or wishes.rate,
            times=source.times,
            has_truth=wishes.truth is not None and (wishes.truth / _name(place)).is_dir(),
        )

    def _open_live(self, name: str, masks: Sequence[Path]) -> AnnotatedVideo:
        wishes = self._wishes
        source = LiveVideo(name, wishes.max_frames)
        if wishes.direction != "forward":
            raise InputError(f"{source.origin} is live and cannot be read backwards; use --direction forward")
        return open_video(
            LiveAnnotatedVideo,
            Path(source.origin).name,
            source,
            assign_masks(source, masks, wishes.start),
            wishes.rules,
            sizing=wishes.sizing,
            rate=source.rate,
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


def open_video(
    kind: type[AnnotatedVideo],
    name: str,
    source: FrameSource,
    masks: Mapping[int, Assigned],
    rules: MaskRules,
    **wishes: Any,
) -> AnnotatedVideo:
    """A video with masks in any form; its results get the colours of the masks."""
    reader = MaskReader(rules)
    said = {given.masks: given.remark for given in masks.values()}

    def read(files: Masks) -> np.ndarray:
        return read_objects(files) if isinstance(files, tuple) else reader.read(files)

    def remarks(files: Masks) -> list[str]:
        own = [] if isinstance(files, tuple) else reader.remarks(files)
        return [*filter(None, [said[files]]), *own]

    files = {position: given.masks for position, given in masks.items()}
    video = kind.open(name, source, files, read, remarks=remarks, **wishes)
    palette = reader.palette
    shown = palette if reader.has_colours else None
    return replace(video, palette=palette, notes=tuple(replace(note, colours=shown) for note in video.notes))


def find_videos(root: Path, masks: Sequence[Path] = ()) -> list[Path]:
    """A path that is a video, or else the videos in it: folders of pictures and video files, in natural order.

    Hidden files and folders, and those of the masks, are no videos. One picture beside videos is left out, which is
    said; several are the frames of one video if their names are numbered, which is said too.

    Raises:
        InputError: there is none, or pictures and videos stand side by side.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError(f"{root} does not exist; pass a folder of pictures, a video file or a folder of such")
    given = {real_path(path) for path in masks}
    things = [thing for thing in root.iterdir() if not is_clutter(thing.name) and real_path(thing) not in given]
    pictures = sorted((path for path in things if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)
    videos = [thing for thing in things if thing.is_dir() or thing.suffix.lower() in VIDEO_SUFFIXES]
    if not pictures and not videos:
        raise InputError(f"{root} holds no pictures and no videos; pass a folder that does")
    if not pictures:
        return sorted(videos, key=natural_key)
    whole = sorted((path for path in videos if not path.is_dir() or _has_videos(path)), key=natural_key)
    if not whole:
        return [root]
    if len(pictures) == 1:
        logger.warning("%s: %s stands beside videos and is left out", root, printable(pictures[0].name))
        return whole
    if not all(any(char.isdecimal() for char in picture.stem) for picture in pictures):
        raise InputError(
            f"{root} holds pictures ({pictures[0].name}, ...) and videos ({whole[0].name}, ...); pass a folder that"
            " holds only one of them"
        )
    logger.warning(
        "%s: its %d pictures are the frames of one video; %s is left out", root, len(pictures), whole[0].name
    )
    return [root]


def _has_videos(folder: Path) -> bool:
    """Whether a folder may be a video: pictures lie in it."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(path.name) for path in folder.iterdir())


def assign_masks(
    source: FrameSource, masks: Sequence[Path], start: str | None, video: str | None = None
) -> dict[int, Assigned]:
    """The masks of each annotated position.

    Args:
        source: the frames.
        masks: a folder or a file, or files: masks of several frames if they are named like these, else of one object
            each, all on one frame.
        start: name or position of the frame of a single mask, or of the objects.
        video: a mask of this name is the video's and tells no frame.

    Raises:
        InputError: a mask belongs to no frame or may belong to several, or there is none.
    """
    names = FrameNames(source.names)
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
            " under the name of its frame, or pass --start FRAME"
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
            f"mask {exact[0]} is named like a frame but {others[0]} is not; pass masks of frames by themselves, or"
            " --start FRAME if each holds one object of that frame"
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
            f" name them like frames, e.g. {names.names[0]}.png, or pass --start FRAME if they are objects of one frame"
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


def _name(place: Path) -> str:
    """The name of a video; that of a link where one was passed."""
    if not place.is_dir():
        return place.stem
    return place.name if place.name not in ("", "..") else real_path(place).name


def _masks_of(name: str, masks: Sequence[Path]) -> list[Path]:
    """The masks of one of several videos."""
    folder = masks[0]
    if len(masks) > 1 or not folder.is_dir():
        raise InputError(f"{folder} is one mask but there are several videos; pass a folder with <video>/<frame>.png")
    for place in (folder / name, *(folder / f"{name}{suffix}" for suffix in sorted(MASK_SUFFIXES))):
        if place.exists():
            return [place]
    found = [path for path in folder.iterdir() if path.stem == name and path.suffix.lower() in MASK_SUFFIXES]
    if found:
        return found[:1]
    raise InputError(f"folder {folder} has no mask for video {name}; add {name}/<frame>.png or {name}.png")


def _masks_within(name: str, masks: Sequence[Path]) -> Sequence[Path]:
    """The masks of a single video: those in the folder of its name, where a folder of masks has such."""
    if len(masks) == 1 and (masks[0] / name).is_dir() and not is_clutter(name):
        return [masks[0] / name]
    return masks
