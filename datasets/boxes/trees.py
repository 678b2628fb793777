"""Tracking datasets of boxes on disk: LaSOT and GOT-10k.

Layouts:
    LaSOT: <root>/<class>/<class>-<n>/{img/%08d.jpg,groundtruth.txt,full_occlusion.txt,out_of_view.txt}
    GOT-10k: <root>/{val,test}/{list.txt,<video>/{%08d.jpg,groundtruth.txt}}, in val also cover.label and meta_info.ini

A groundtruth.txt has a row x, y, width, height in pixels for each frame; those of GOT-10k test for the first one only.
"""

import configparser
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.boxes.boxes import Box, is_whole_box, read_boxes
from datasets.video_list import choose_videos, read_video_list
from evaluation.boxes.results import read_result
from evaluation.boxes.scores import (
    GOT10K,
    LASOT,
    BoxScores,
    FrameScores,
    Rules,
    VideoScore,
    box_ious,
    score_got10k,
    score_lasot,
)
from util.errors import InputError
from util.text_files import read_numbers, read_text

BOX_SETS = {"lasot": Path("data/lasot"), "got10k_val": Path("data/got10k"), "got10k_test": Path("data/got10k")}
LASOT_LIST = Path(__file__).parent / "lasot_testing_set.txt"
TRUTH = "groundtruth.txt"
MOST_COVER = 8  # of cover.label: all of the object shows

logger = logging.getLogger(__name__)


class BoxTree(Protocol):
    """A set of videos with a box of an object in the first frame, and perhaps in all.

    Attributes:
        kind: one of `BOX_SETS`.
        root: folder of the dataset.
        names: the videos, in order.
        has_truth: whether the true boxes of all frames are there.
        rules: how results are summed up.
    """

    kind: str
    root: Path
    names: Sequence[str]
    has_truth: bool
    rules: Rules

    def folder(self, name: str) -> Path:
        """Where the annotations of a video lie."""
        ...

    def frames(self, name: str) -> Path:
        """Where the frames of a video lie."""
        ...

    def compare(self, name: str, boxes: np.ndarray, truth: np.ndarray) -> FrameScores:
        """Score the boxes (T, 4) of a video by the true ones.

        Raises:
            InputError: annotations are missing or damaged.
        """
        ...


@dataclass(frozen=True)
class LaSOT:
    """See `BoxTree`."""

    root: Path
    names: Sequence[str]
    kind = "lasot"
    has_truth = True
    rules = LASOT

    def folder(self, name: str) -> Path:
        """See `BoxTree`; some archives have no folders of classes."""
        nested, flat = self.root / name.rpartition("-")[0] / name, self.root / name
        return flat if flat.is_dir() and not nested.is_dir() else nested

    def frames(self, name: str) -> Path:
        """See `BoxTree`."""
        return self.folder(name) / "img"

    def compare(self, name: str, boxes: np.ndarray, truth: np.ndarray) -> FrameScores:
        """See `BoxTree`."""
        flags = [self.folder(name) / file for file in ("full_occlusion.txt", "out_of_view.txt")]
        hidden, outside = (read_flags(path, len(truth), 1) > 0 for path in flags)
        return score_lasot(boxes, truth, ~(hidden | outside))


@dataclass(frozen=True)
class GOT10k:
    """See `BoxTree`; `part` is "val" or "test"."""

    root: Path
    names: Sequence[str]
    part: str
    rules = GOT10K

    @property
    def kind(self) -> str:
        """See `BoxTree`."""
        return f"got10k_{self.part}"

    @property
    def has_truth(self) -> bool:
        """See `BoxTree`; the true boxes of the test set are on the server."""
        return self.part == "val"

    def folder(self, name: str) -> Path:
        """See `BoxTree`."""
        return self.root / self.part / name

    def frames(self, name: str) -> Path:
        """See `BoxTree`."""
        return self.folder(name)

    def compare(self, name: str, boxes: np.ndarray, truth: np.ndarray) -> FrameScores:
        """See `BoxTree`."""
        cover = read_flags(self.folder(name) / "cover.label", len(truth), MOST_COVER)
        return score_got10k(boxes, truth, cover, read_resolution(self.folder(name) / "meta_info.ini"))


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


def score_tree(
    tree: BoxTree, results: Path, label: str, advance: Callable[[str], object] = lambda name: None
) -> BoxScores:
    """Score the results of a tracker.

    Args:
        tree: the dataset.
        results: folder of the results, see `read_result`.
        label: name of the tracker.
        advance: called with the name of each video that is scored.

    Raises:
        InputError: there are no true boxes, a video's results are missing or of another number of frames, or a file
            cannot be read.
    """
    if not tree.has_truth:
        raise InputError(f"{tree.kind} has no true boxes; pack the results with --zip and send them to the server")
    videos = []
    for name in tree.names:
        result, truth = read_result(results, name), read_boxes(tree.folder(name) / TRUTH)
        if len(result.boxes) != len(truth):
            raise InputError(
                f"{result.path} has {len(result.boxes)} rows but {tree.folder(name) / TRUTH} {len(truth)}; are these"
                " results of another dataset? Run the evaluation of this video again"
            )
        _note_doubts(result.path, result.boxes, tree.folder(name) / TRUTH, truth)
        advance(name)
        videos.append(VideoScore(name, tree.compare(name, result.boxes, truth), result.fps))
    return BoxScores(label, tuple(videos), tree.rules)


def _note_doubts(path: Path, boxes: np.ndarray, truth_path: Path, truth: np.ndarray) -> None:
    """Say what is odd about results (T, 4) or the true boxes (T, 4), but may be meant."""
    negative = int((truth[:, 2:] < 0).any(1).sum())
    if negative:
        logger.warning("boxes of negative size in %s, which count as lost: %d", truth_path, negative)
    if is_whole_box(truth[0]) and not box_ious(boxes[:1], truth[:1])[0]:
        logger.warning("the first box of %s lies beside that of %s; are these results of it?", path, truth_path)


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
