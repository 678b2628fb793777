"""What the training data hold and what is wrong with them, found and read as training finds and reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from datasets.frame_files import read_frame
from datasets.mask_files import HALF_BRIGHTNESS, MAX_SIZE_DIFFERENCE, VOID, brightness_of_object, read_ids
from datasets.smooth_edges import SmoothMaskError
from datasets.train.static_dataset import (
    MASKS,
    PICTURES,
    grey_masks_hold_ids,
    list_static,
    read_several_ids,
    static_datasets,
    static_pairs,
)
from datasets.train.vos_dataset import Pair, VOSDataset
from util.errors import InputError
from util.images import is_clutter, list_images, open_picture, picture_size

PICTURES_AT_ONCE = 32
ID_MODES = ("1", "L", "P")
UNREADABLE = (InputError, OSError, ValueError, cv2.error, Image.DecompressionBombError)

Size = tuple[int, int]
MaskContent = tuple[Size, frozenset[int] | None]
T = TypeVar("T")


class Kind(Enum):
    """What can be wrong, the errors first; the value is its name."""

    NO_SAMPLES = "no samples"
    UNREADABLE = "unreadable file"
    MISMATCH = "size mismatch"
    MIXED_SIZES = "sizes differ within a video"
    COLOUR = "colour mask"
    WIDE_ID = "id above 255"
    SMOOTH = "smoothed edges"
    NO_OBJECT = "no object in any mask"
    LEFT_OUT = "set left out"
    TOO_SHORT = "video too short"
    NEAR_MISMATCH = "size off by 1-2 px"
    EMPTY = "mask without object"
    NO_MASK = "frame without mask"
    NO_FRAME = "mask without frame"

    @property
    def is_error(self) -> bool:
        """Whether training fails on the samples concerned; the others it passes over, repairs or takes as they are."""
        return self in ERRORS


ERRORS = frozenset(
    {
        Kind.NO_SAMPLES,
        Kind.UNREADABLE,
        Kind.MISMATCH,
        Kind.MIXED_SIZES,
        Kind.COLOUR,
        Kind.WIDE_ID,
        Kind.SMOOTH,
        Kind.NO_OBJECT,
    },
)


@dataclass(frozen=True)
class Fault:
    """Something wrong: its kind, the file or folder, and the problem in words that follow the path."""

    kind: Kind
    path: Path
    problem: str


@dataclass
class Tally:
    """What files hold.

    Attributes:
        samples: videos, or pictures with a mask.
        usable: those of them that training draws from.
        frames, masks: files.
        ids: of the objects, without background and void.
        most_objects: in one mask.
        sizes: heights and widths of the frames, in pixels.
        faults: what is wrong, in the order in which it was found.
    """

    samples: int = 0
    usable: int = 0
    frames: int = 0
    masks: int = 0
    ids: set[int] = field(default_factory=set)
    most_objects: int = 0
    sizes: set[Size] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count another tally in."""
        self.samples += other.samples
        self.usable += other.usable
        self.frames += other.frames
        self.masks += other.masks
        self.ids |= other.ids
        self.most_objects = max(self.most_objects, other.most_objects)
        self.sizes |= other.sizes
        self.faults += other.faults

    def count(self, *kinds: Kind) -> int:
        """Faults of these kinds."""
        return sum(fault.kind in kinds for fault in self.faults)


def show_size(size: Size) -> str:
    """Height and width as WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"


@dataclass(frozen=True)
class SetPlan:
    """How a set is looked over.

    Attributes:
        name: of the set.
        unit: what its samples are, "videos" or "pictures".
        jobs: parts of the work, which may run in parallel.
        without_samples: the fault if nothing of it is usable.
    """

    name: str
    unit: str
    jobs: tuple[Callable[[], Tally], ...]
    without_samples: Fault


def plan_static(root: Path, *, fast: bool = False) -> list[SetPlan]:
    """The sets of stage 0; folders of pictures that training leaves out are among them.

    Args:
        root: see `static_datasets`.
        fast: read only the headers of the files.

    Raises:
        InputError: the folder is missing or holds no set.
    """
    root = Path(root)
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
    if not any(map(static_pairs, folders)):
        static_datasets(root)  # fails in the words of training
    plans = []
    for folder in folders:
        pairs = static_pairs(folder)
        frames, masks = list_static(folder, PICTURES), list_static(folder, MASKS)
        if frames:
            parts = [pairs[i : i + PICTURES_AT_ONCE] for i in range(0, len(pairs), PICTURES_AT_ONCE)]
            grey = not fast and grey_masks_hold_ids([mask for _, mask in pairs])
            inspections = (partial(inspect_pictures, part, grey=grey, fast=fast) for part in parts)
            jobs = (partial(_unpaired, frames, masks, pairs), *inspections)
            without = Fault(Kind.LEFT_OUT, folder, "holds no picture .jpg with its mask .png beside it")
            plans.append(SetPlan(f"{root.name}/{folder.name}", "pictures", jobs, without))
    return plans


def plan_videos(
    name: str, find: Callable[..., VOSDataset], root: Path, clip_length: int, *, all_videos: bool, fast: bool = False
) -> SetPlan:
    """A set of stage 1 or 2.

    Args:
        name: of the set.
        find: `davis_train`, `youtube_train` or `bl30k_train`.
        root: of the dataset.
        clip_length: frames of a training clip, the fewest that a video needs.
        all_videos: no list restricts the videos, so that a video of masks alone is one whose frames are missing.
        fast: read only the headers of the files.

    Raises:
        InputError: a folder is missing or holds no video.
    """
    try:
        dataset = find(root, max_skip=1, clip_length=0)  # too short ones are to be counted
    except InputError:
        dataset = find(root, max_skip=1, clip_length=clip_length)  # fails in the words of training
    jobs = [
        partial(inspect_video, dataset.frames_root / video, dataset.masks_root / video, pairs, clip_length, fast)
        for video, pairs in dataset.videos
    ]
    if all_videos:
        folders = (path for path in sorted(dataset.masks_root.iterdir()) if path.is_dir())
        jobs += [partial(_only_masks, path) for path in folders if not (dataset.frames_root / path.name).is_dir()]
    without = Fault(Kind.NO_SAMPLES, dataset.frames_root, f"holds no video of {clip_length} frames with masks")
    return SetPlan(name, "videos", tuple(jobs), without)


def inspect_video(frames: Path, masks: Path, pairs: Sequence[Pair], clip_length: int, fast: bool = False) -> Tally:
    """One video; the files of one that is too short for training are counted but not read.

    255 is void where the video has other ids, else an object, as `drop_void` has it for a clip.

    Args:
        frames, masks: folders.
        pairs: of frames and masks.
        clip_length: the fewest pairs that training needs.
        fast: read only the headers of the files.
    """
    tally = _unpaired(_pictures(frames), _masks(masks), pairs)
    tally.samples = 1
    if len(pairs) < clip_length:
        problem = f"has {len(pairs)} frames with masks; training needs {clip_length}"
        tally.faults.append(Fault(Kind.TOO_SHORT, frames, problem))
        return tally
    tally.usable = 1
    contents = _read_pairs(pairs, partial(_read_video_mask, fast=fast), fast, tally)
    if len(contents) == len(pairs) and not any(ids for _, ids in contents):
        tally.usable = 0
        tally.faults.append(Fault(Kind.NO_OBJECT, masks, "shows no object in any mask; leave the video out"))
        return tally
    is_palette = any(ids - {VOID} for _, ids in contents)
    _count_objects([(path, ids - {VOID} if is_palette else ids) for path, ids in contents], tally)
    if len(tally.sizes) > 1:
        sizes = ", ".join(show_size(size) for size in sorted(tally.sizes))
        tally.faults.append(Fault(Kind.MIXED_SIZES, frames, f"holds frames of {sizes}; resize them to one size"))
    return tally


def inspect_pictures(pairs: Sequence[Pair], *, grey: bool = False, fast: bool = False) -> Tally:
    """Pictures of a static set, whose masks show one object (see `brightness_of_object`) or the ids of several.

    Args:
        pairs: of pictures and masks.
        grey: see `read_several_ids`.
        fast: read only the headers of the files.
    """
    tally = Tally(samples=len(pairs), usable=len(pairs))
    read_mask = partial(_read_picture_mask, grey=grey, fast=fast)
    _count_objects(_read_pairs(pairs, read_mask, fast, tally), tally, Kind.NO_OBJECT)
    return tally


def _pictures(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except InputError:
        return []


def _masks(folder: Path) -> list[Path]:
    return [path for path in _pictures(folder) if path.suffix.lower() == ".png"]


def _unpaired(frames: Sequence[Path], masks: Sequence[Path], pairs: Sequence[Pair]) -> Tally:
    """The number of files and those that have no partner."""
    paired = {path for pair in pairs for path in pair}
    lone_frames = [Fault(Kind.NO_MASK, path, "has no mask") for path in frames if path not in paired]
    lone_masks = [Fault(Kind.NO_FRAME, path, "has no frame") for path in masks if path not in paired]
    return Tally(frames=len(frames), masks=len(masks), faults=lone_frames + lone_masks)


def _only_masks(folder: Path) -> Tally:
    return _unpaired((), _masks(folder), ())


def _read_pairs(
    pairs: Sequence[Pair], read_mask: Callable[[Path], MaskContent], fast: bool, tally: Tally
) -> list[tuple[Path, frozenset[int]]]:
    """The masks with the ids in them, as far as they were read; sizes and faults go to the tally."""
    contents = []
    for frame, mask in pairs:
        size = _attempt(partial(_read_frame_size, fast=fast), frame, tally)
        content = _attempt(read_mask, mask, tally)
        if size is not None:
            tally.sizes.add(size)
        if content is not None and content[1] is not None:
            contents.append((mask, content[1]))
        if size is not None and content is not None and content[0] != size:
            difference = max(abs(a - b) for a, b in zip(content[0], size, strict=True))
            kind = Kind.MISMATCH if difference > MAX_SIZE_DIFFERENCE else Kind.NEAR_MISMATCH
            problem = f"is {show_size(content[0])} but its frame is {show_size(size)}"
            tally.faults.append(Fault(kind, mask, problem))
    return contents


def _count_objects(contents: Sequence[tuple[Path, frozenset[int]]], tally: Tally, if_empty: Kind = Kind.EMPTY) -> None:
    for path, ids in contents:
        tally.ids |= ids
        tally.most_objects = max(tally.most_objects, len(ids))
        if not ids:
            tally.faults.append(Fault(if_empty, path, "shows no object"))


def _attempt(read: Callable[[Path], T], path: Path, tally: Tally) -> T | None:
    """What a reader gives, or a fault that says why it gives nothing."""
    try:
        return read(path)
    except UNREADABLE as error:
        kind = _kind_of_fault(path, error) if isinstance(error, InputError) else Kind.UNREADABLE
        tally.faults.append(Fault(kind, path, str(error).replace(f"{path} ", "", 1)))
        return None


def _kind_of_fault(path: Path, error: InputError) -> Kind:
    """Why a file is refused: a picture that opens is refused for the ids that it does not hold."""
    if isinstance(error, SmoothMaskError):
        return Kind.SMOOTH
    try:
        mode = open_picture(path).mode
    except InputError:
        return Kind.UNREADABLE
    return Kind.WIDE_ID if mode.startswith("I") else Kind.COLOUR


def _read_frame_size(path: Path, fast: bool) -> Size:
    return picture_size(path) if fast else read_frame(path).shape[:2]


def _read_video_mask(path: Path, fast: bool) -> MaskContent:
    """Size and ids of a mask as `VOSDataset` reads it; without the ids where the header shows that there are some."""
    if fast:
        size = picture_size(path)
        with Image.open(path) as picture:
            if picture.mode in ID_MODES:
                return size, None
    ids = read_ids(path)
    histogram = cv2.calcHist([ids], [0], None, [256], [0, 256])
    return ids.shape, frozenset(np.flatnonzero(histogram).tolist()) - {0}


def _read_picture_mask(path: Path, grey: bool, fast: bool) -> MaskContent:
    """Size of a mask as `StaticDataset` reads it, and its ids, or 1 if it shows a single object."""
    if fast:
        return picture_size(path), None
    ids = read_several_ids(path, grey=grey)
    if ids is not None:
        return ids.shape, frozenset(np.unique(ids).tolist()) - {0}
    mask = brightness_of_object(path)
    return mask.shape, frozenset({1} if mask.max() > HALF_BRIGHTNESS else ())
