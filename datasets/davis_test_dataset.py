"""DAVIS test sets as streams of frames: DAVIS 2016 val, DAVIS 2017 val and test-dev.

Layouts:
    DAVIS 2016: <root>/{JPEGImages,Annotations}/480p/<video>/
    DAVIS 2017: <root>/{trainval,test-dev}/{JPEGImages,Annotations}/480p/<video>/, lists in ImageSets/2017

Frames may have any names. They are taken in natural order, the mask of a frame has its stem, and the first frame must
have one.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from datasets.annotated_video import AnnotatedVideo
from datasets.frame_sources import FrameFolder
from datasets.pairs import VOID
from datasets.sizing import FULL_SIZE, Sizing
from datasets.video_list import choose_videos, read_video_list
from util.errors import InputError
from util.images import read_ids

SPLITS_2017 = {"val": ("trainval", "val"), "testdev": ("test-dev", "test-dev")}


class DavisTestDataset:
    """The videos of a DAVIS test set; everything short of the later frames is checked on construction.

    Args:
        frames: folder with one folder of frames for each video.
        masks: folder with one folder of masks for each video.
        names: the videos, in order.
        split: name of the set as the DAVIS toolkit writes it in its score files, e.g. "val".
        merged: take all labels above 0 as one object (DAVIS 2016); else each label but 255 (void) is an object.
        sizing: in which size the network sees the frames.

    Raises:
        InputError: a folder is missing, or a video cannot be used (see `AnnotatedVideo.open`).
    """

    archive_folder = ""

    def __init__(
        self,
        frames: Path,
        masks: Path,
        names: Sequence[str],
        *,
        split: str,
        merged: bool,
        sizing: Sizing = FULL_SIZE,
    ) -> None:
        self.split = split
        self.merged = merged
        self.inputs = (frames, masks)
        self.truth = masks
        for folder in (frames, masks):
            if not folder.is_dir():
                raise InputError(f"DAVIS folder {folder} does not exist; {_remedy()}")
        options = {"merged": merged, "sizing": sizing}
        self.videos = [open_davis_video(frames / name, masks / name, **options) for name in names]

    @classmethod
    def davis_2016(
        cls,
        root: Path,
        *,
        list_file: Path | None = None,
        only: Sequence[str] = (),
        sizing: Sizing = FULL_SIZE,
    ) -> "DavisTestDataset":
        """DAVIS 2016 val under `root`, or the videos in `list_file`, or of these those in `only`.

        The list is <root>/../2017/trainval/ImageSets/2016/val.txt, or else the one within `root`.
        """
        _require_root(root)
        lists = [
            root.absolute().parent / "2017/trainval/ImageSets/2016/val.txt",
            root / "ImageSets/2016/val.txt",
            root / "ImageSets/480p/val.txt",
        ]
        names = _select_videos(lists if list_file is None else [list_file], only)
        folders = root / "JPEGImages/480p", root / "Annotations/480p"
        return cls(*folders, names, split="val", merged=True, sizing=sizing)

    @classmethod
    def davis_2017(
        cls,
        root: Path,
        split: str = "val",
        *,
        list_file: Path | None = None,
        only: Sequence[str] = (),
        sizing: Sizing = FULL_SIZE,
    ) -> "DavisTestDataset":
        """DAVIS 2017 "val" or "testdev" under `root`, or the videos in `list_file`, or of these those in `only`."""
        _require_root(root)
        folder, split = root / SPLITS_2017[split][0], SPLITS_2017[split][1]
        _require_root(folder)
        names = _select_videos([list_file or folder / f"ImageSets/2017/{split}.txt"], only)
        folders = folder / "JPEGImages/480p", folder / "Annotations/480p"
        return cls(*folders, names, split=split, merged=False, sizing=sizing)

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[AnnotatedVideo]:
        return iter(self.videos)


def open_davis_video(frames: Path, masks: Path, *, merged: bool, sizing: Sizing = FULL_SIZE) -> AnnotatedVideo:
    """The video whose frames and masks lie in these two folders; only the first mask is used.

    Raises:
        InputError: there are no frames, the first mask is missing or holds no object, or sizes do not fit.
    """
    source = FrameFolder(frames)
    paths = [masks / f"{name}.png" for name in source.names]
    if not paths[0].is_file():
        raise InputError(f"video {frames.name} has no mask of its first frame, {paths[0]}; fetch it again")
    has_truth = any(path.is_file() for path in paths[1:])
    read_mask = partial(_read_mask, merged=merged)
    return AnnotatedVideo.open(frames.name, source, {0: paths[0]}, read_mask, has_truth=has_truth, sizing=sizing)


def _read_mask(path: Path, *, merged: bool) -> np.ndarray:
    ids = read_ids(path)
    return (ids > 0).astype(np.uint8) if merged else np.where(ids == VOID, 0, ids).astype(np.uint8)


def _remedy() -> str:
    return "download DAVIS from davischallenge.org or pass --davis PATH"


def _require_root(root: Path) -> None:
    if not root.is_dir():
        raise InputError(f"DAVIS root {root} does not exist; {_remedy()}")


def _select_videos(lists: Sequence[Path], only: Sequence[str]) -> list[str]:
    """The names in the first of `lists` that exists, or of these those in `only`, in the order of the list."""
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        raise InputError(f"list of videos {lists[0]} does not exist; pass --list FILE, or {_remedy()}")
    return choose_videos(read_video_list(path), only, path)
