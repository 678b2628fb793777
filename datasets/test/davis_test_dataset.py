"""DAVIS test sets as streams of frames: DAVIS 2016 val, DAVIS 2017 val and test-dev.

Layouts:
    DAVIS 2016: <root>/{JPEGImages,Annotations}/480p/<video>/
    DAVIS 2017: <root>/{trainval,test-dev}/{JPEGImages,Annotations}/480p/<video>/, lists in ImageSets/2017

Frames may have any names. They are taken in natural order, the mask of a frame has its stem, and the first frame must
have one.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from datasets.frame_files import FrameFolder
from datasets.mask_files import VOID, read_foreground, read_ids
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from datasets.test.mask_frames import By, FrameNames
from datasets.test.sizing import FULL_SIZE, Sizing
from datasets.video_list import choose_videos, read_video_list
from util.errors import InputError
from util.images import list_images

SOURCE = "download DAVIS from davischallenge.org"
SPLITS_2017 = {"val": ("trainval", "val"), "testdev": ("test-dev", "test-dev")}


class DavisTestDataset(VideoSet):
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
                raise InputError(f"DAVIS folder {folder} does not exist; {SOURCE} again")
        self.videos = [open_davis_video(frames / name, masks / name, merged=merged, sizing=sizing) for name in names]

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
        _require_root(root, "davis")
        lists = [
            root.absolute().parent / "2017/trainval/ImageSets/2016/val.txt",
            root / "ImageSets/2016/val.txt",
            root / "ImageSets/480p/val.txt",
        ]
        names = _select_videos([list_file] if list_file else lists, only, "davis", is_given=list_file is not None)
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
        option: str = "davis",
    ) -> "DavisTestDataset":
        """DAVIS 2017 "val" or "testdev" under `root`, or the videos in `list_file`, or of these those in `only`.

        `option` is the one that names the root, without dashes.
        """
        _require_root(root, option)
        folder, split = root / SPLITS_2017[split][0], SPLITS_2017[split][1]
        _require_root(folder, option)
        lists = [list_file or folder / f"ImageSets/2017/{split}.txt"]
        names = _select_videos(lists, only, option, is_given=list_file is not None)
        folders = folder / "JPEGImages/480p", folder / "Annotations/480p"
        return cls(*folders, names, split=split, merged=False, sizing=sizing)


def open_davis_video(frames: Path, masks: Path, *, merged: bool, sizing: Sizing = FULL_SIZE) -> AnnotatedVideo:
    """The video whose frames and masks lie in these two folders; only the first mask is used.

    Raises:
        InputError: there are no frames, the first mask is missing or holds no object, or sizes do not fit.
    """
    source = FrameFolder(frames)
    paths = [masks / f"{name}.png" for name in source.names]
    first, remark = _first_mask(paths[0], source)
    has_truth = any(path.is_file() for path in paths[1:])
    said = {remark} - {""}
    return AnnotatedVideo.open(
        frames.name,
        source,
        {0: first},
        partial(_read_mask, merged=merged, said=said),
        remarks=lambda _: sorted(said),
        has_truth=has_truth,
        sizing=sizing,
    )


def _first_mask(path: Path, source: FrameFolder) -> tuple[Path, str]:
    """The mask of the first frame, by its name or else by its number, which is said.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return path, ""
    names = FrameNames(source.names)
    files = list_images(path.parent) if path.parent.is_dir() else []
    found = [file for file in files if file.suffix.lower() == ".png" and names.find(file.stem).positions == (0,)]
    if len(found) != 1 or names.find(found[0].stem).by is By.ANOTHER_NAME:
        raise InputError(f"video {path.parent.name} has no mask of its first frame, {path}; fetch it again")
    return found[0], f"{found[0].name} is taken for frame {source.names[0]}"


def _read_mask(path: Path, *, merged: bool, said: set[str]) -> np.ndarray:
    """The ids of a mask (H, W), uint8, void being background; what is remarkable about them is added to `said`."""
    if merged:
        mask, is_cut = read_foreground(path)
        said |= {"its edges are smooth and count from half brightness on"} if is_cut else set()
        return mask
    ids = read_ids(path)
    is_void = ids == VOID
    said |= {"255 is void, as DAVIS has it"} if is_void.any() else set()
    return np.where(is_void, 0, ids).astype(np.uint8)


def _require_root(root: Path, option: str) -> None:
    if not root.is_dir():
        raise InputError(f"DAVIS root {root} does not exist; {SOURCE} or pass --{option} PATH")


def _select_videos(lists: Sequence[Path], only: Sequence[str], option: str, *, is_given: bool) -> list[str]:
    """The names in the first of `lists` that exists, or of these those in `only`, in the order of the list.

    Where the set's own lists are missing, the names of `only` are taken as they are.
    """
    path = next((path for path in lists if path.is_file()), None)
    if path is None and only and not is_given:
        return list(dict.fromkeys(only))
    if path is None:
        remedy = "check the path" if is_given else f"{SOURCE}, pass --{option} PATH, or give a list of your own"
        raise InputError(f"list of videos {lists[0]} does not exist; {remedy}")
    return choose_videos(read_video_list(path), only, path)
