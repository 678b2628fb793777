"""Tracking datasets of boxes on disk: LaSOT and GOT-10k.

Layouts:
    LaSOT: <root>/<class>/<class>-<n>/{img/%08d.jpg,groundtruth.txt,full_occlusion.txt,out_of_view.txt}
    GOT-10k: <root>/{val,test}/{list.txt,<video>/{%08d.jpg,groundtruth.txt}}, in val also cover.label and meta_info.ini

A groundtruth.txt has a row x, y, width, height in pixels for each frame; those of GOT-10k test for the first one only.
"""

import configparser
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.boxes.boxes import Box, is_whole_box, read_boxes
from datasets.video_list import choose_videos, read_video_list
from util.errors import InputError
from util.text_files import read_numbers, read_text

BOX_SETS = {"lasot": Path("data/lasot"), "got10k_val": Path("data/got10k"), "got10k_test": Path("data/got10k")}
LASOT_LIST = Path(__file__).parent / "lasot_testing_set.txt"
TRUTH = "groundtruth.txt"
MOST_COVER = 8  # of cover.label: all of the object shows


@dataclass(frozen=True)
class LaSOT:
    """The videos of LaSOT, with a box of one object in every frame.

    Attributes:
        root: folder of the dataset.
        names: the videos, in order.
        kind: its name among `BOX_SETS`.
        has_truth: whether the true boxes of all frames are there.
    """

    root: Path
    names: Sequence[str]
    kind = "lasot"
    has_truth = True

    def folder(self, name: str) -> Path:
        """Where the annotations of a video lie; some archives have no folders of classes."""
        nested, flat = self.root / name.rpartition("-")[0] / name, self.root / name
        return flat if flat.is_dir() and not nested.is_dir() else nested

    def frames(self, name: str) -> Path:
        """Where the frames of a video lie."""
        return self.folder(name) / "img"

    def visible(self, name: str, count: int) -> np.ndarray:
        """Whether the object is in view in each of so many frames, (T,) bool.

        Raises:
            InputError: the files that tell are missing or damaged.
        """
        flags = [self.folder(name) / file for file in ("full_occlusion.txt", "out_of_view.txt")]
        hidden, outside = (read_flags(path, count, 1) > 0 for path in flags)
        return ~(hidden | outside)


@dataclass(frozen=True)
class GOT10k:
    """The videos of a part of GOT-10k, with a box of one object in every frame (val) or in the first (test).

    Attributes:
        root: folder of the dataset.
        names: the videos, in order.
        part: "val" or "test".
    """

    root: Path
    names: Sequence[str]
    part: str

    @property
    def kind(self) -> str:
        """Its name among `BOX_SETS`."""
        return f"got10k_{self.part}"

    @property
    def has_truth(self) -> bool:
        """Whether the true boxes of all frames are there; those of the test set are on the server."""
        return self.part == "val"

    def folder(self, name: str) -> Path:
        """Where the annotations of a video lie."""
        return self.root / self.part / name

    def frames(self, name: str) -> Path:
        """Where the frames of a video lie."""
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


BoxTree = LaSOT | GOT10k


def open_tree(kind: str, root: Path, list_file: Path | None = None, only: Sequence[str] = ()) -> BoxTree:
    """The videos of a dataset.

    Args:
        kind: one of `BOX_SETS`.
        root: folder of the dataset.
        list_file: names of the videos, one on each line; by default the set's own list.
        only: of these; all where it is empty.

    Raises:
        InputError: the root, a list or a video's annotations are missing.
    """
    if not root.is_dir():
        raise InputError(f"folder {root} does not exist; pass the dataset by --root PATH")
    part = kind.removeprefix("got10k_")
    if kind == "lasot":
        own = root / "testing_set.txt"
        own = own if own.is_file() else LASOT_LIST
    else:
        own = root / part / "list.txt"
    path = list_file or own
    if path.is_file():
        names = choose_videos(read_video_list(path), only, path)
    elif only and list_file is None:
        names = list(dict.fromkeys(only))
    else:
        raise InputError(f"list of videos {path} does not exist; check --root, or pass --list FILE")
    tree: BoxTree = LaSOT(root, names) if kind == "lasot" else GOT10k(root, names, part)
    for name in names:
        if not (tree.folder(name) / TRUTH).is_file():
            raise InputError(
                f"video {name} of {path} has no {tree.folder(name) / TRUTH}; check --root, or pass --list FILE"
            )
    return tree


def first_box(tree: BoxTree, name: str, frames: int) -> Box:
    """The given box of a video of so many frames.

    Raises:
        InputError: it cannot be read, has no size, or is smaller than a pixel; or the file has neither one box nor one
            for each frame.
    """
    path = tree.folder(name) / TRUTH
    boxes = read_boxes(path)
    if len(boxes) not in (1, frames):
        raise InputError(f"{path} has {len(boxes)} rows but {tree.frames(name)} {frames} frames; fetch the video again")
    box = tuple(boxes[0].tolist())
    if not is_whole_box(box):
        raise InputError(f"the first box of {path} is {box}, which has no size; fetch the file again")
    if max(box[2:]) < 1:
        raise InputError(f"the first box of {path} is {box}, smaller than a pixel; write boxes in pixels")
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
