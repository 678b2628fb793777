"""Any videos with any masks: folders of frames, video files and live video, and the masks of some of their frames."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from datasets.frame_files import SHOWN_RATE, FrameFolder, FrameSource
from datasets.mask_files import read_objects
from datasets.mask_reader import MaskReader, MaskRules
from datasets.test.annotated_video import AnnotatedVideo, VideoSet, printable
from datasets.test.live_video import LiveVideo, is_live
from datasets.test.mask_frames import MASK_SUFFIXES, Masks, assign_masks
from datasets.test.sizing import FULL_SIZE, Sizing
from datasets.test.video_file import VideoFile
from util.errors import InputError
from util.files import real_path
from util.images import IMAGE_SUFFIXES, is_clutter, natural_key, require_text

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
DIRECTIONS = ("forward", "backward", "both")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenericOptions:
    """How videos are to be segmented.

    Attributes:
        start: position or name of the frame that a mask belongs to whose own name does not say so.
        direction: one of `DIRECTIONS`.
        sizing: in which size the network sees the frames.
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


class GenericDataset(VideoSet):
    """The videos below a path.

    Args:
        source: a folder of pictures, a video file, a folder of such, or live video (see `LiveVideo`). A folder that
            holds JPEGImages and Annotations gives the videos and their masks.
        masks: files or a folder. One file is the mask of one frame; several are masks of one object each. A folder
            holds <frame>.png, or <frame>/<object>.png, for each annotated frame. Where there are several videos it
            holds <video>/ with such files, or <video>.png.
        options: how they are to be segmented.

    Raises:
        InputError: something is missing or does not fit.
    """

    merged = False
    split = "generic"

    def __init__(self, source: str, masks: Sequence[Path], options: GenericOptions) -> None:
        self._options = options
        root = Path(source)
        if not masks and (root / "Annotations").is_dir():
            root, masks = root / "JPEGImages", [root / "Annotations"]
        if not masks:
            raise InputError(f"there is no mask for {source}; pass --masks FILE or FOLDER")
        for path in masks:
            if not path.exists():
                raise InputError(f"mask {path} does not exist; check --masks")
        self.truth = options.truth or root
        self.inputs = [*([] if is_live(source) else [root]), *masks, *filter(None, [options.truth])]
        if is_live(source):
            self.videos = [self._open_live(source, masks)]
            return
        places = find_videos(root, masks)
        for place in places:
            require_text(place)
        if places == [root]:
            self.videos = [self._open_stored(root, _masks_within(_name(root), masks))]
        else:
            self.videos = [self._open_stored(place, _masks_of(_name(place), masks)) for place in places]

    def _open_live(self, source: str, masks: Sequence[Path]) -> AnnotatedVideo:
        live = LiveVideo(source, self._options.max_frames)
        if self._options.direction != "forward":
            raise InputError(f"{live.origin} is live and cannot be read backwards; use --direction forward")
        return self._open(Path(live.origin).name, live, masks)

    def _open_stored(self, place: Path, masks: Sequence[Path]) -> AnnotatedVideo:
        source = FrameFolder(place, self._options.rate) if place.is_dir() else VideoFile(place)
        return self._open(_name(place), source, masks, named=_name(place))

    def _open(self, name: str, source: FrameSource, masks: Sequence[Path], named: str | None = None) -> AnnotatedVideo:
        """A video with masks in any form; its results get the colours of the masks.

        Args:
            name: of the video.
            source: its frames.
            masks: a folder or a file, or one file for each object.
            named: a mask of this name is the video's and tells no frame.
        """
        options = self._options
        assigned = assign_masks(source, masks, options.start, video=named, can_be_asked=options.rules.can_be_asked)
        said = {given.masks: given.remark for given in assigned.values()}
        reader = MaskReader(options.rules)

        def read(files: Masks) -> np.ndarray:
            return read_objects(files) if isinstance(files, tuple) else reader.read(files)

        def remarks(files: Masks) -> list[str]:
            own = [] if isinstance(files, tuple) else reader.remarks(files)
            return [*filter(None, [said[files]]), *own]

        video = AnnotatedVideo.open(
            name,
            source,
            {position: given.masks for position, given in assigned.items()},
            read,
            remarks=remarks,
            direction=options.direction,
            sizing=options.sizing,
            has_truth=source.has_end and options.truth is not None and (options.truth / name).is_dir(),
        )
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
