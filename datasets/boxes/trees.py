"""Tracking datasets of boxes on disk, and single videos with a first box.

Layouts:
    LaSOT: <root>/<class>/<class>-<n>/{img/%08d.jpg,groundtruth.txt,full_occlusion.txt,out_of_view.txt}
    LaSOT_ext: the same
    GOT-10k: <root>/{val,test}/{list.txt,<video>/{%08d.jpg,groundtruth.txt}}, in val also cover.label and meta_info.ini
    TrackingNet: <root>/TEST/{anno/<video>.txt,frames/<video>/<k>.jpg}
    TNL2K: <root>/<video>/{imgs/*,groundtruth.txt}
    OTB-100: <root>/<Video>/{img/*.jpg,groundtruth_rect.txt}; of several objects groundtruth_rect.<n>.txt
    UAV123: <root>/{anno/UAV123/<video>.txt,data_seq/UAV123/<folder>/%06d.jpg}

The text files have a row x, y, width, height in pixels for each frame; those of GOT-10k test and TrackingNet for the
first one only.
"""

import configparser
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.boxes.boxes import Box, is_whole_box, read_boxes
from datasets.frame_files import FrameFolder, FrameSource
from datasets.test.generic_videos import find_videos
from datasets.test.video_file import VideoFile
from datasets.video_list import choose_videos, read_video_list
from util.errors import InputError
from util.images import is_clutter, natural_key
from util.text_files import read_numbers, read_text

BOX_SETS = {
    "lasot": Path("data/lasot"),
    "lasot_ext": Path("data/lasot_extension_subset"),
    "got10k_val": Path("data/got10k"),
    "got10k_test": Path("data/got10k"),
    "trackingnet": Path("data/trackingnet"),
    "tnl2k": Path("data/tnl2k"),
    "otb": Path("data/otb"),
    "uav123": Path("data/uav"),
}
LASOT_LIST = Path(__file__).parent / "lasot_testing_set.txt"
LASOT_EXT_CLASSES = (
    *("atv", "badminton", "cosplay", "dancingshoe", "footbag", "frisbee", "jianzi", "lantern", "misc", "opossum"),
    *("paddle", "raccoon", "rhino", "skatingshoe", "wingsuit"),
)
LASOT_EXT_VIDEOS = 10  # of each class
WHOLE_SETS = {"trackingnet": 511, "tnl2k": 700, "otb": 100, "uav123": 123}  # videos of test sets without a list
# Videos of OTB-100 that are a part of their folder: frames before the first one.
OTB_PARTS = {"David": 299, "Football1": 0, "Freeman3": 0, "Freeman4": 0, "Diving": 0}
# First frames, from 1, of the videos <folder>_1, <folder>_2, ... of UAV123, by their folder.
UAV_PARTS = {
    "bird1": (1, 775, 1573),
    "car1": (1, 751, 1627),
    "car6": (1, 487, 1807, 2953, 3925),
    "car8": (1, 1357),
    "car16": (1, 415),
    "group1": (1, 1333, 2515, 3925),
    "group2": (1, 907, 1771),
    "group3": (1, 1567, 2827, 4369),
    "person2": (1, 1189),
    "person4": (1, 1501),
    "person5": (1, 877),
    "person7": (1, 1249),
    "person8": (1, 1075),
    "person12": (1, 601),
    "person14": (1, 847, 1813),
    "person17": (1, 1501),
    "person19": (1, 1243, 2791),
    "truck4": (1, 577),
    "uav1": (1, 1555, 2473),
}
TRUTH = "groundtruth.txt"
MOST_COVER = 8  # of cover.label: all of the object shows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoxTree:
    """The videos of a dataset, each with one object.

    Attributes:
        root: folder of the dataset.
        names: the videos, in order.
        kind: its name among `BOX_SETS`.
        has_truth: whether the true boxes of all frames are there; else they are on a server.
    """

    root: Path
    names: Sequence[str]
    kind: ClassVar[str]
    has_truth: ClassVar[bool] = True

    def truth(self, name: str) -> Path:
        """The file with the boxes of a video."""
        return self.folder(name) / TRUTH

    def folder(self, name: str) -> Path:
        """Where a video lies."""
        return self.root / name

    def frames(self, name: str) -> Path:
        """Where the frames of a video lie."""
        raise NotImplementedError

    def source(self, name: str) -> FrameSource:
        """The frames of a video.

        Raises:
            InputError: they are missing or cannot be read.
        """
        return FrameFolder(self.frames(name))

    def visible(self, name: str, count: int) -> np.ndarray:
        """Whether the object is in view in each of so many frames, (T,) bool, as far as anything but its box tells.

        Raises:
            InputError: the files that tell are missing or damaged.
        """
        return np.ones(count, bool)

    def first_box(self, name: str, frames: int) -> Box:
        """The given box of a video of so many frames.

        Raises:
            InputError: it cannot be read, has no size, or is smaller than a pixel; or the file has neither one box nor
                one for each frame.
        """
        path = self.truth(name)
        boxes = read_boxes(path)
        if len(boxes) not in (1, frames):
            raise InputError(
                f"{path} has {len(boxes)} rows but {self.frames(name)} {frames} frames; fetch the video again"
            )
        return usable_box(boxes[0].tolist(), str(path))


@dataclass(frozen=True)
class LaSOT(BoxTree):
    """The videos of LaSOT, with a box of one object in every frame."""

    kind = "lasot"

    def folder(self, name: str) -> Path:
        """Where the annotations of a video lie; some archives have no folders of classes."""
        nested, flat = self.root / name.rpartition("-")[0] / name, self.root / name
        return flat if flat.is_dir() and not nested.is_dir() else nested

    def frames(self, name: str) -> Path:
        return self.folder(name) / "img"

    def visible(self, name: str, count: int) -> np.ndarray:
        flags = [self.folder(name) / file for file in ("full_occlusion.txt", "out_of_view.txt")]
        hidden, outside = (read_flags(path, count, 1) > 0 for path in flags)
        return ~(hidden | outside)


@dataclass(frozen=True)
class LaSOTExtension(LaSOT):
    """The videos of LaSOT_ext, whose classes are none of LaSOT's."""

    kind = "lasot_ext"


@dataclass(frozen=True)
class GOT10k(BoxTree):
    """The videos of a part of GOT-10k, with a box of one object in every frame (val) or in the first (test).

    Attributes:
        part: "val" or "test".
    """

    part: str

    @property
    def kind(self) -> str:  # type: ignore[override]
        """Its name among `BOX_SETS`."""
        return f"got10k_{self.part}"

    @property
    def has_truth(self) -> bool:  # type: ignore[override]
        """Whether the true boxes of all frames are there; those of the test set are on the server."""
        return self.part == "val"

    def folder(self, name: str) -> Path:
        return self.root / self.part / name

    def frames(self, name: str) -> Path:
        return self.folder(name)

    def cover(self, name: str, count: int) -> np.ndarray:
        """How much of the object shows in each of so many frames, (T,), from 0 to 8.

        Raises:
            InputError: the file that tells is missing or damaged.
        """
        return read_flags(self.folder(name) / "cover.label", count, MOST_COVER)

    def resolution(self, name: str) -> tuple[int, int]:
        """Height and width of the frames of a video.

        Raises:
            InputError: the file that tells is missing or damaged.
        """
        return read_resolution(self.folder(name) / "meta_info.ini")


@dataclass(frozen=True)
class TrackingNet(BoxTree):
    """The test videos of TrackingNet."""

    kind = "trackingnet"
    has_truth = False

    def truth(self, name: str) -> Path:
        return self.root / "TEST/anno" / f"{name}.txt"

    def frames(self, name: str) -> Path:
        return self.root / "TEST/frames" / name


@dataclass(frozen=True)
class TNL2K(BoxTree):
    """The test videos of TNL2K."""

    kind = "tnl2k"

    def frames(self, name: str) -> Path:
        return self.folder(name) / "imgs"


@dataclass(frozen=True)
class OTB(BoxTree):
    """The videos of OTB-100; <folder>_<n> is the n-th object of a folder that has several."""

    kind = "otb"

    def truth(self, name: str) -> Path:
        whole = self.root / name / "groundtruth_rect.txt"
        folder, _, number = name.rpartition("_")
        return whole if whole.is_file() or not folder else self.root / folder / f"groundtruth_rect.{number}.txt"

    def frames(self, name: str) -> Path:
        return self.truth(name).parent / "img"

    def source(self, name: str) -> FrameSource:
        whole = FrameFolder(self.frames(name))
        count = len(read_boxes(self.truth(name)))
        if name not in OTB_PARTS or len(whole.names) <= count:
            return whole
        return FrameFolder(self.frames(name), span=slice(OTB_PARTS[name], OTB_PARTS[name] + count))


@dataclass(frozen=True)
class UAV123(BoxTree):
    """The videos of UAV123, several of which may be parts of one folder."""

    kind = "uav123"

    def truth(self, name: str) -> Path:
        return self.root / "anno/UAV123" / f"{name}.txt"

    def frames(self, name: str) -> Path:
        return self.root / "data_seq/UAV123" / (self._part(name)[0] or name)

    def source(self, name: str) -> FrameSource:
        folder, start = self._part(name)
        if not folder:
            return FrameFolder(self.frames(name))
        return FrameFolder(self.frames(name), span=slice(start - 1, start - 1 + len(read_boxes(self.truth(name)))))

    def _part(self, name: str) -> tuple[str, int]:
        """The folder of which a video is a part, and where it begins there, from 1; no folder for others."""
        folder, _, number = name.rpartition("_")
        starts = UAV_PARTS.get(folder, ())
        known = number.isdecimal() and 0 < int(number) <= len(starts)
        return (folder, starts[int(number) - 1]) if known else ("", 1)


@dataclass(frozen=True)
class SingleVideo(BoxTree):
    """A folder of pictures or a video file; `root` is its path.

    Attributes:
        box: x, y, width, height in pixels of the first frame.
    """

    box: Box
    kind = "video"
    has_truth = False

    def truth(self, name: str) -> Path:
        return self.root

    def frames(self, name: str) -> Path:
        return self.root

    def source(self, name: str) -> FrameSource:
        return FrameFolder(self.root) if self.root.is_dir() else VideoFile(self.root)

    def first_box(self, name: str, frames: int) -> Box:
        return usable_box(self.box, "--box")


TREES: dict[str, Callable[[Path, Sequence[str]], BoxTree]] = {
    "lasot": LaSOT,
    "lasot_ext": LaSOTExtension,
    "trackingnet": TrackingNet,
    "tnl2k": TNL2K,
    "otb": OTB,
    "uav123": UAV123,
}


def open_tree(kind: str, root: Path, list_file: Path | None = None, only: Sequence[str] = ()) -> BoxTree:
    """The videos of a dataset.

    Args:
        kind: one of `BOX_SETS`.
        root: folder of the dataset.
        list_file: names of the videos, one on each line; by default the set's own list, or all that are there.
        only: of these; all where it is empty.

    Raises:
        InputError: the root, a list or a video's annotations are missing.
    """
    if not root.is_dir():
        raise InputError(f"folder {root} does not exist; check the root of {kind}")
    build = TREES.get(kind) or partial(GOT10k, part=kind.removeprefix("got10k_"))
    own = _own_names(kind, root) if list_file is None else list_file
    path = own if isinstance(own, Path) else root
    if isinstance(own, list):
        names = choose_videos(own, only, path)
    elif path.is_file():
        names = choose_videos(read_video_list(path), only, path)
    elif only and list_file is None:
        names = list(dict.fromkeys(only))
    else:
        raise InputError(f"list of videos {path} does not exist; check the root of {kind}, or give another list")
    tree = build(root, names)
    for name in names:
        if not tree.truth(name).is_file():
            raise InputError(
                f"video {name} of {path} has no {tree.truth(name)}; check the root of {kind}, or give another list"
            )
    return tree


def _own_names(kind: str, root: Path) -> Path | list[str]:
    """The dataset's own list of videos, or their names."""
    if kind == "lasot":
        own = root / "testing_set.txt"
        return own if own.is_file() else LASOT_LIST
    if kind.startswith("got10k_"):
        return root / kind.removeprefix("got10k_") / "list.txt"
    if kind == "lasot_ext":
        return [f"{name}-{number}" for name in LASOT_EXT_CLASSES for number in range(1, LASOT_EXT_VIDEOS + 1)]
    return _names_there(kind, root)


def _names_there(kind: str, root: Path) -> list[str]:
    """The videos of a dataset without a list that lie below its root; that some are missing is said.

    Raises:
        InputError: there are none.
    """
    patterns = {
        "trackingnet": "TEST/anno/*.txt",
        "tnl2k": f"*/{TRUTH}",
        "otb": "*/groundtruth_rect*.txt",
        "uav123": "anno/UAV123/*.txt",
    }
    paths = [path for path in root.glob(patterns[kind]) if not is_clutter(path.name) and path.stat().st_size]
    names = [_otb_name(path) if kind == "otb" else path.parent.name if kind == "tnl2k" else path.stem for path in paths]
    if not names:
        raise InputError(f"{root} holds no {patterns[kind]}; check the root of {kind}")
    if len(names) != WHOLE_SETS[kind]:
        logger.warning("%s: %d videos, of %d that %s has", root, len(names), WHOLE_SETS[kind], kind)
    return sorted(names, key=lambda name: natural_key(Path(name)))


def _otb_name(path: Path) -> str:
    number = path.name.removeprefix("groundtruth_rect").removesuffix(".txt").removeprefix(".")
    return f"{path.parent.name}_{number}" if number else path.parent.name


def open_video(path: Path, box: Box) -> SingleVideo:
    """A single video with a first box.

    Raises:
        InputError: the path is no video, or several.
    """
    videos = find_videos(path)
    if videos != [path]:
        raise InputError(f"{path} holds several videos, of which {videos[0].name} is one; pass one of them")
    path = path.absolute()
    return SingleVideo(path, [path.name if path.is_dir() else path.stem], box)


def usable_box(numbers: Sequence[float], origin: str) -> Box:
    """A first box.

    Args:
        numbers: x, y, width, height in pixels.
        origin: where it is from, for the message.

    Raises:
        InputError: it has no size, or is smaller than a pixel.
    """
    x, y, width, height = numbers
    box = (x, y, width, height)
    if not is_whole_box(box):
        raise InputError(f"the first box of {origin} is {box}, which has no size; fetch the file again")
    if max(width, height) < 1:
        raise InputError(f"the first box of {origin} is {box}, smaller than a pixel; write boxes in pixels")
    return box


def read_flags(path: Path, count: int, most: int) -> np.ndarray:
    """One whole number from 0 to `most` for each frame, (T,), in one row or in one column.

    Raises:
        InputError: the file cannot be read, has another number of them, or holds something else.
    """
    table = read_numbers(path)
    if min(table.shape) > 1:
        raise InputError(f"{path} has {table.shape[1]} columns; it must have one row or one column: fetch it again")
    flags = table.ravel()
    bad = ~np.isin(flags, np.arange(most + 1))
    if bad.any():
        raise InputError(f"{path} holds {flags[bad][0]:g}, no whole number from 0 to {most}; fetch the file again")
    if len(flags) != count:
        raise InputError(f"{path} has {len(flags)} numbers but there are {count} boxes; fetch the files again")
    return flags


def read_resolution(path: Path) -> tuple[int, int]:
    """Height and width of the frames by a meta_info.ini of GOT-10k.

    Raises:
        InputError: the file is missing or does not tell.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        width, height = map(int, re.findall(r"\d+", parser["METAINFO"]["resolution"]))
    except (OSError, KeyError, ValueError, configparser.Error) as error:
        raise InputError(f"{path} does not tell the resolution; fetch the file again") from error
    if min(width, height) < 1:
        raise InputError(f"{path} says that frames have {width}x{height} pixels; fetch the file again")
    return height, width
