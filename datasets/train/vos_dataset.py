"""Training clips of a few frames drawn from annotated videos (stages 1 and 2 of QDMN, ECCV 2022)."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datasets.frame_files import read_frames
from datasets.mask_files import drop_void, list_pairs, match_size, read_ids
from datasets.train.augment import View, video_views
from datasets.train.clips import Sample, object_planes, pack_clip
from datasets.train.frame_sampling import sample_positions
from datasets.train.geometry import Size
from datasets.train.render import render_mask
from datasets.train.skip_schedule import YOUTUBE_STEP
from datasets.video_list import read_video_list
from util.errors import InputError
from util.images import is_clutter

ATTEMPTS = 5

Pair = tuple[Path, Path]
DrawPositions = Callable[[int, int, int], list[int]]
DrawViews = Callable[[Size, int], list[View]]

logger = logging.getLogger(__name__)


def _worth_tracking(ids: Tensor, label: int) -> bool:
    """The BL30K rule: an object of the first view is tiny only if it stays so; areas in pixels at 384 x 384."""
    first, *others = (ids == label).flatten(1).sum(1).tolist()
    return first > 100 and (first > 900 or max(others, default=0) < 400)


def _may_show_object(path: Path) -> bool:
    try:
        return bool(read_ids(path, checked=False).any())
    except InputError:
        return True


class VOSDataset(Dataset):
    """Clips of T frames with K objects from `<frames_root>/<video>/*` and `<masks_root>/<video>/*.png`.

    A frame takes part if a mask of the same stem exists.

    Args:
        max_skip: largest distance of neighbouring frames of a clip, in frames of the video, annotated or not; may be
            set anew between samples.
        subset: names of the videos to use; None takes all.
        draw_positions: annotated frames of a video, T and the largest distance of neighbours, in annotated frames -> T
            positions of annotated frames, such as `sample_positions` with some of its options set.
        draw_views: size of the frames and T -> T views, such as `video_views` with some of its options set.
        clip_length: number T of frames.
        num_objects: number K of mask planes; a clip with fewer objects has empty planes.
        drop_tiny: leave out objects that are tiny at first and large later (BL30K).
        annotation_step: frames of the video from one annotated frame to the next, 5 for YouTube-VOS.
        render: see `pack_clip`.

    Raises:
        InputError: a folder is missing, no video has enough annotated frames, or no mask shows an object.
    """

    def __init__(
        self,
        frames_root: Path,
        masks_root: Path,
        *,
        max_skip: int,
        subset: set[str] | None = None,
        draw_positions: DrawPositions = sample_positions,
        draw_views: DrawViews = video_views,
        clip_length: int = 3,
        num_objects: int = 2,
        drop_tiny: bool = False,
        annotation_step: int = 1,
        render: bool = True,
    ) -> None:
        self.frames_root, self.masks_root = Path(frames_root), Path(masks_root)
        self.draw_positions, self.draw_views = draw_positions, draw_views
        self.clip_length = clip_length
        self.num_objects = num_objects
        self.drop_tiny = drop_tiny
        self.annotation_step = annotation_step
        self.max_skip = max_skip
        self.render = render
        self.videos = self._find_videos(subset)
        if not any(map(self._shows_object, range(len(self.videos)))):
            raise InputError(f"no mask in {self.masks_root} shows an object; check the masks")

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.videos)

    def __getitem__(self, index: int) -> Sample:
        """A random clip of one video, the sample described at `pack_clip`.

        The objects are drawn from those that the first frame shows. The selector of the first object is always 1:
        if five draws find no object, the clip teaches that an empty mask stays empty, unless all of the video is empty.

        Raises:
            InputError: a file cannot be read, a frame and its mask or two frames differ in size, or no mask of the
                video shows an object.
        """
        for _ in range(ATTEMPTS):
            frames, masks_of_video = self.read_clip(index)
            views = self.draw_views(frames[0].shape[:2], self.clip_length)
            rendered = [render_mask(mask, view) for mask, view in zip(masks_of_video, views, strict=True)]
            ids = torch.from_numpy(np.stack(rendered))
            candidates = self._candidates(ids)
            if candidates:
                break
        if not candidates and not self._shows_object(index):
            raise InputError(f"no mask in {self.masks_root / self.name(index)} shows an object; leave the video out")
        masks, selector = object_planes(ids, candidates, self.num_objects)
        return pack_clip(frames, views, masks, selector, self.name(index), render=self.render)

    def name(self, index: int) -> str:
        """The video."""
        return self.videos[index][0]

    def read_clip(self, index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Randomly drawn frames of a video, RGB (H,W,3) uint8, and their ids (H,W) uint8 without void; T of each.

        Raises:
            InputError: a file cannot be read, a frame and its mask or two frames differ in size.
        """
        video, pairs = self.videos[index]
        max_skip = max(1, self.max_skip // self.annotation_step)
        positions = self.draw_positions(len(pairs), self.clip_length, max_skip)
        frames = read_frames([pairs[i][0] for i in positions])
        if len({frame.shape for frame in frames}) > 1:
            raise InputError(f"{self.frames_root / video} holds frames of different sizes; resize them to one size")
        masks = [match_size(read_ids(pairs[i][1]), frames[0].shape[:2], video) for i in positions]
        return frames, drop_void(masks)

    def _shows_object(self, index: int) -> bool:
        """Whether any mask of a video shows an object, or cannot be read, which its samples say by themselves."""
        return any(_may_show_object(mask) for _, mask in self.videos[index][1])

    def _find_videos(self, subset: set[str] | None) -> list[tuple[str, list[Pair]]]:
        for root in (self.frames_root, self.masks_root):
            if not root.is_dir():
                raise InputError(f"folder {root} does not exist; download the dataset or pass its folder")
        present = {path.name for path in self.frames_root.iterdir() if path.is_dir() and not is_clutter(path.name)}
        wanted = present if subset is None else subset
        listed = ((name, list_pairs(self.frames_root / name, self.masks_root / name)) for name in wanted & present)
        videos = sorted((name, pairs) for name, pairs in listed if len(pairs) >= self.clip_length)
        if not videos:
            raise InputError(
                f"no wanted video of {self.frames_root} has {self.clip_length} frames with masks in "
                f"{self.masks_root}; check both folders and the list of videos"
            )
        dropped = sorted(wanted - {name for name, _ in videos})
        if dropped:
            examples = ", ".join(dropped[:5])
            logger.warning("%s: %d videos are missing or too short: %s", self.frames_root, len(dropped), examples)
        return videos

    def _candidates(self, ids: Tensor) -> list[int]:
        labels = torch.bincount(ids[0].flatten(), minlength=2)[1:].nonzero().flatten().add(1).tolist()
        return [label for label in labels if not self.drop_tiny or _worth_tracking(ids, label)]


def davis_train(root: Path, max_skip: int, subset: set[str] | None = None, **options: Any) -> VOSDataset:
    """The train videos of DAVIS 2017, else of DAVIS 2016.

    2017 is used where its train list names videos that are there, then 2016 in the same way. A 2017 tree without a
    train list gives all its videos, with a warning.

    Args:
        root: folder that holds `2017/trainval` or `2016`, each with `JPEGImages/480p` and `Annotations/480p`.
        max_skip: see `VOSDataset`.
        subset: names of the train videos to use; None takes all.
        options: further keywords of `VOSDataset`.

    Raises:
        InputError: neither release is there with a list of its train videos, or one of the subset is not among them.
    """
    new, old = Path(root) / "2017/trainval", Path(root) / "2016"
    new_list = new / "ImageSets/2017/train.txt"
    old_lists = [new / "ImageSets/2016/train.txt", old / "ImageSets/2016/train.txt", old / "ImageSets/480p/train.txt"]
    for release, path in [(new, new_list), *((old, path) for path in old_lists)]:
        frames, masks = release / "JPEGImages/480p", release / "Annotations/480p"
        names = set(read_video_list(path)) if path.is_file() else set()
        if any((frames / name).is_dir() for name in names):
            if release is old:
                logger.warning("%s is missing or names no video that is there; training on DAVIS 2016", new_list)
            if foreign := sorted((subset or set()) - names):
                raise InputError(f"video {foreign[0]} is not in {path}; choose among the train videos")
            return VOSDataset(frames, masks, max_skip=max_skip, subset=names if subset is None else subset, **options)
    if new_list.is_file() or not (new / "JPEGImages/480p").is_dir():
        raise InputError(
            f"DAVIS root {root} holds no video of a train list, neither in 2017/trainval nor in 2016; "
            "download DAVIS from davischallenge.org or pass --davis_root"
        )
    logger.warning("%s does not exist; all videos are used, those of the validation set too", new_list)
    folders = new / "JPEGImages/480p", new / "Annotations/480p"
    return VOSDataset(*folders, max_skip=max_skip, subset=subset, **options)


def youtube_train(root: Path, max_skip: int, subset: set[str] | None = None, **options: Any) -> VOSDataset:
    """YouTube-VOS `train_480p`, annotated every fifth frame: the skip in annotated frames is max_skip // 5, at least 1.

    Args:
        root: folder that holds `train_480p/JPEGImages` and `train_480p/Annotations`.
        max_skip: in frames of the video.
        subset: names of the videos to use; None takes all.
        options: further keywords of `VOSDataset`.

    Raises:
        InputError: the folder is missing or holds no usable video.
    """
    folder = Path(root) / "train_480p"
    if not folder.is_dir():
        raise InputError(
            f"YouTube root {root} has no train_480p, the train set resized to 480 pixels; make it or pass --yv_root"
        )
    options = {"annotation_step": YOUTUBE_STEP, **options}
    return VOSDataset(folder / "JPEGImages", folder / "Annotations", max_skip=max_skip, subset=subset, **options)


def folder_train(
    root: Path, max_skip: int, *, name: str, part: str, option: str, remedy: str, **options: Any
) -> VOSDataset:
    """A set whose training videos are folders of frames and of masks, such as MOSE.

    Args:
        root: folder that holds `<part>/JPEGImages` and `<part>/Annotations`, or the two.
        max_skip: see `VOSDataset`.
        name: of the set, for messages.
        part: folder of the training videos.
        option: of the command line that names the root.
        remedy: what to do where the folders are missing.
        options: further keywords of `VOSDataset`.

    Raises:
        InputError: the folders are missing or hold no usable video.
    """
    places = [Path(root) / part, Path(root)]
    folder = next((place for place in places if (place / "JPEGImages").is_dir()), None)
    if folder is None:
        raise InputError(f"{name} root {root} has no {part}/JPEGImages; {remedy} (docs/datasets.md) or pass --{option}")
    if not (folder / "Annotations").is_dir():
        raise InputError(f"{name}: {folder} has frames but no Annotations; {remedy} again (docs/datasets.md)")
    return VOSDataset(folder / "JPEGImages", folder / "Annotations", max_skip=max_skip, **options)


def bl30k_train(root: Path, max_skip: int, **options: Any) -> VOSDataset:
    """BL30K, without objects that are only tiny at first.

    Args:
        root: folder that holds `JPEGImages` and `Annotations`.
        max_skip: see `VOSDataset`.
        options: further keywords of `VOSDataset`.

    Raises:
        InputError: the folder is missing or holds no usable video.
    """
    root = Path(root)
    if not (root / "JPEGImages").is_dir():
        raise InputError(f"BL30K root {root} has no folder JPEGImages; download BL30K or pass --bl_root")
    options = {"drop_tiny": True, **options}
    return VOSDataset(root / "JPEGImages", root / "Annotations", max_skip=max_skip, **options)
