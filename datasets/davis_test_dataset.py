"""DAVIS test sets as streams of frames: DAVIS 2016 val, DAVIS 2017 val and test-dev.

Layouts:
    DAVIS 2016: <root>/{JPEGImages,Annotations}/480p/<video>/
    DAVIS 2017: <root>/{trainval,test-dev}/{JPEGImages,Annotations}/480p/<video>/, lists in ImageSets/2017

Frames may have any names. They are taken in natural order, the mask of a frame has its stem, and the first frame must
have one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from datasets.pairs import match_size
from datasets.video_list import read_video_list
from util.errors import InputError
from util.images import list_images, read_frame, read_ids
from util.read_ahead import read_ahead
from util.tensors import normalise, one_hot

VOID = 255
SPLITS_2017 = {"val": ("trainval", "val"), "testdev": ("test-dev", "test-dev")}


@dataclass(frozen=True)
class Frame:
    """One frame of a test video.

    Attributes:
        name: stem of its file, under which its result is saved.
        pixels: RGB (H, W, 3), uint8.
        image: (3, H, W) float32, normalised for the network.
        mask: (K, H, W) float32 in {0, 1}, one row for each object, where the frame's mask is given; else None.
    """

    name: str
    pixels: np.ndarray
    image: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Video:
    """A test video whose objects are given by the mask of its first frame.

    Attributes:
        name: name of the video.
        frame_paths: its frames in temporal order.
        mask_paths: the mask file of each frame; only the first is sure to exist.
        objects: original ids of the objects, ascending; row i of `Frame.mask` is objects[i].
        frame_size: height and width of the frames.
        output_size: height and width of the first mask, in which results are wanted.
        merged: all labels are one object (DAVIS 2016).
    """

    name: str
    frame_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    objects: tuple[int, ...]
    frame_size: tuple[int, int]
    output_size: tuple[int, int]
    merged: bool

    @classmethod
    def open(cls, frames: Path, masks: Path, *, merged: bool) -> "Video":
        """The video whose frames and masks lie in these two folders; its first frame and mask are read.

        Raises:
            InputError: there are no frames, two frames share a stem, the first frame or its mask cannot be used,
                their sizes differ by more than a pixel or two, or the mask holds no object.
        """
        frame_paths = list_images(frames)
        mask_paths = [masks / f"{path.stem}.png" for path in frame_paths]
        if len(set(mask_paths)) < len(frame_paths):
            raise InputError(f"folder {frames} holds two frames with one name; remove the duplicates")
        first, mask_path = read_frame(frame_paths[0]), mask_paths[0]
        if not mask_path.is_file():
            raise InputError(f"video {frames.name} has no mask of its first frame, {mask_path}; fetch it again")
        ids = _read_mask(mask_path, merged)
        output_size = ids.shape
        objects = tuple(np.unique(ids[ids > 0]).tolist())
        if not objects:
            hint = "" if merged else f" (0 is background, {VOID} is void)"
            raise InputError(f"mask {mask_path} holds no object{hint}; annotate one or leave the video out")
        match_size(ids, first, mask_path)
        return cls(frames.name, tuple(frame_paths), tuple(mask_paths), objects, first.shape[:2], output_size, merged)

    def __len__(self) -> int:
        return len(self.frame_paths)

    @property
    def result_names(self) -> list[str]:
        """File names of the results, in temporal order."""
        return [path.name for path in self.mask_paths]

    @property
    def has_annotations(self) -> bool:
        """Whether more than the first frame is annotated, so that results can be scored."""
        return any(path.is_file() for path in self.mask_paths[1:])

    def frames(self, *, depth: int = 4) -> Iterator[Frame]:
        """Stream the frames; at most `depth` of them are read ahead, in background threads.

        Raises:
            InputError: at the frame that cannot be read or whose size differs from the first frame's.
        """
        return read_ahead(self._read, range(len(self)), depth=depth)

    def original_ids(self, labels: np.ndarray) -> np.ndarray:
        """Labels 0..K (H, W), row numbers of the core plus one, -> the video's own ids, uint8."""
        return np.array((0, *self.objects), np.uint8)[labels]

    def _read(self, index: int) -> Frame:
        path = self.frame_paths[index]
        pixels = read_frame(path)
        if pixels.shape[:2] != self.frame_size:
            sizes = [f"{width}x{height}" for height, width in (pixels.shape[:2], self.frame_size)]
            raise InputError(f"frame {path} is {sizes[0]} but the video's first frame {sizes[1]}; export it again")
        mask = None
        if index == 0:
            ids = match_size(_read_mask(self.mask_paths[0], self.merged), pixels, self.mask_paths[0])
            mask = one_hot(ids, list(self.objects))
        return Frame(path.stem, pixels, normalise(pixels), mask)


class DavisTestDataset:
    """The videos of a DAVIS test set; everything short of the later frames is checked on construction.

    Args:
        frames: folder with one folder of frames for each video.
        masks: folder with one folder of masks for each video.
        names: the videos, in order.
        split: name of the set as the DAVIS toolkit writes it in its score files, e.g. "val".
        merged: take all labels above 0 as one object (DAVIS 2016); else each label but 255 (void) is an object.

    Raises:
        InputError: a folder is missing, or a video cannot be used (see `Video.open`).
    """

    def __init__(self, frames: Path, masks: Path, names: Sequence[str], *, split: str, merged: bool) -> None:
        self.split = split
        self.merged = merged
        self.frames_folder, self.masks_folder = frames, masks
        for folder in (frames, masks):
            if not folder.is_dir():
                raise InputError(f"DAVIS folder {folder} does not exist; {_remedy()}")
        self.videos = [Video.open(frames / name, masks / name, merged=merged) for name in names]

    @classmethod
    def davis_2016(cls, root: Path, *, list_file: Path | None = None, only: Sequence[str] = ()) -> "DavisTestDataset":
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
        return cls(root / "JPEGImages/480p", root / "Annotations/480p", names, split="val", merged=True)

    @classmethod
    def davis_2017(
        cls, root: Path, split: str = "val", *, list_file: Path | None = None, only: Sequence[str] = ()
    ) -> "DavisTestDataset":
        """DAVIS 2017 "val" or "testdev" under `root`, or the videos in `list_file`, or of these those in `only`."""
        _require_root(root)
        folder, split = root / SPLITS_2017[split][0], SPLITS_2017[split][1]
        _require_root(folder)
        names = _select_videos([list_file or folder / f"ImageSets/2017/{split}.txt"], only)
        return cls(folder / "JPEGImages/480p", folder / "Annotations/480p", names, split=split, merged=False)

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)


def _read_mask(path: Path, merged: bool) -> np.ndarray:
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
    names = read_video_list(path)
    if not names:
        raise InputError(f"list of videos {path} is empty; pass another one by --list FILE")
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f"video {unknown[0]} is not in {path}; check the name or pass --list FILE")
    return [name for name in names if name in only] if only else names
