"""Clips made of one picture with a mask: three augmented views of it (stage 0 of QDMN, ECCV 2022).

A mask shows one object, or the ids of several: a palette PNG with two ids or more above 0, or a grey one in a set whose
grey masks are all darker than 128. Smoothed or shaded masks always show one object.
"""

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from datasets.frame_files import read_frame
from datasets.mask_files import HALF_BRIGHTNESS, brightness_of_object, drop_void, match_size, open_mask
from datasets.smooth_edges import find_edges
from datasets.train.augment import View, static_views
from datasets.train.clips import Sample, pack_clip
from datasets.train.geometry import Size
from datasets.train.render import render_mask
from util.errors import InputError
from util.images import is_clutter

PICTURES, MASKS = frozenset({".jpg"}), frozenset({".png"})
REPEATS = {"BIG_small": 5, "HRSOD_small": 5}
FLAT_SHARE = 0.5  # of the pixels of objects that have only their like around them, at least

logger = logging.getLogger(__name__)


def list_static(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files of a set with these suffixes in any letter case, in its folder or else one level below, sorted.

    Hidden files and folders are left out.
    """
    own = _list_files(root, suffixes)
    if own or not root.is_dir():
        return own
    below = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
    return [file for folder in below for file in _list_files(folder, suffixes)]


def _list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_clutter(path.name))
    return sorted(files)


def static_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Pictures <name>.jpg of a set with their masks <name>.png, sorted; suffixes in any letter case."""
    masks = {path.with_suffix(""): path for path in list_static(root, MASKS)}
    pictures = list_static(root, PICTURES)
    return [(path, masks[path.with_suffix("")]) for path in pictures if path.with_suffix("") in masks]


class StaticDataset(Dataset):
    """Views of the pictures of one set, `<root>/<name>.jpg|png` or `<root>/<class>/<name>.jpg|png`.

    Args:
        root: folder of the set.
        image_size: height and width of the views, in pixels.
        clip_length: number T of views.
        num_objects: number K of mask planes; a mask of several ids gives up to K objects. With 1, all of a mask is one
            object. May be set to 1 later where `several` is empty.
        soft_masks: the published behaviour, masks resampled bicubically and left in [0, 1]; by default a mask is 0
            or 1, which keeps the intersection over union that the quality score learns exact.
        zoom: see `camera_zoom`.
        render: see `pack_clip`.
        left_out: names of pictures that are not used, see `name`; they may be of other sets.

    Attributes:
        several: numbers of the pictures whose masks hold the ids of several objects; empty if `num_objects` is 1.

    Raises:
        InputError: the folder holds no picture with a mask, or no mask shows an object.
    """

    def __init__(
        self,
        root: Path,
        *,
        image_size: Size = (384, 384),
        clip_length: int = 3,
        num_objects: int = 1,
        soft_masks: bool = False,
        zoom: float = 1.0,
        render: bool = True,
        left_out: Collection[str] = (),
    ) -> None:
        self.root = Path(root)
        self.image_size = image_size
        self.clip_length = clip_length
        self.num_objects = num_objects
        self.soft_masks = soft_masks
        self.zoom = zoom
        self.render = render
        found = list_static(self.root, PICTURES)
        every = static_pairs(self.root)
        pairs = [pair for pair in every if self._name(pair[0]) not in left_out]
        self.pictures = [picture for picture, _ in pairs]
        self.masks = [mask for _, mask in pairs]
        if every and not pairs:
            raise InputError(f"all pictures of {root} are held out; take the folder away, or shorten the list")
        if not self.pictures:
            raise InputError(f"{root} holds no picture .jpg with its mask .png beside it; check the path")
        if len(every) < len(found):
            logger.warning("%s: %d pictures without a .png mask are left out", root, len(found) - len(every))
        if not any(map(_may_show_object, self.masks)):
            raise InputError(f"no mask of {root} shows an object; check the masks, or take the folder away")
        self.several: frozenset[int] = frozenset()
        self._grey = False
        if num_objects > 1:
            self._grey = grey_masks_hold_ids(self.masks)
            with ThreadPoolExecutor() as pool:
                flags = pool.map(partial(_holds_several, grey=self._grey), self.masks)
                self.several = frozenset(index for index, flag in enumerate(flags) if flag)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        """The sample described at `pack_clip`, with K = `num_objects`; planes without an object have selector 0.

        Of several ids, objects are drawn from those that the first view shows, see `draw_objects`; if it shows none,
        the clip teaches that an empty mask stays empty.

        Raises:
            InputError: a file cannot be read, picture and mask differ in size, or the mask shows no object.
        """
        frame, source, several = self._read(index)
        if not several and source.max() <= HALF_BRIGHTNESS:
            raise InputError(f"mask {self.masks[index]} shows no object; draw one or take the picture away")
        views = self.draw_views(frame.shape[:2], self.clip_length)
        objects = [source]
        if several:
            drawn = draw_objects(_ids_in(render_mask(source, views[0])), self.num_objects)
            objects = [np.isin(source, group).astype(np.uint8) * 255 for group in drawn]
        masks = torch.zeros(self.clip_length, self.num_objects, *self.image_size, dtype=torch.uint8)
        for plane, mask in enumerate(objects):
            for t, view in enumerate(views):
                masks[t, plane] = torch.from_numpy(render_mask(mask, view, soft=self.soft_masks))
        if not self.soft_masks:
            masks = (masks > HALF_BRIGHTNESS).to(torch.uint8) * 255
        selector = (torch.arange(self.num_objects) < max(1, len(objects))).float()
        return pack_clip([frame], views, masks, selector, self.name(index), render=self.render)

    def name(self, index: int) -> str:
        """The picture, beginning with its set."""
        return self._name(self.pictures[index])

    def _name(self, picture: Path) -> str:
        return picture.relative_to(self.root.parent).with_suffix("").as_posix()

    def draw_views(self, size: Size, count: int) -> list[View]:
        """Views of a picture of this height and width, see `static_views`."""
        return static_views(size, count, self.image_size, self.zoom)

    def read_clip(self, index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """A picture, RGB (H,W,3) uint8, and its ids (H,W) uint8: those of a mask of several, else 1 for the object.

        Raises:
            InputError: a file cannot be read, or picture and mask differ in size.
        """
        frame, source, several = self._read(index)
        return [frame], [source if several else (source > HALF_BRIGHTNESS).astype(np.uint8)]

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """A picture; its mask in the same size, ids of several objects or the brightness of one; whether it is ids."""
        path = self.masks[index]
        frame = read_frame(self.pictures[index])
        ids = read_several_ids(path, grey=self._grey) if index in self.several else None
        mask = brightness_of_object(path) if ids is None else ids
        return frame, match_size(mask, frame.shape[:2], path), ids is not None


def draw_objects(ids: Sequence[int], num_objects: int) -> list[list[int]]:
    """Which ids make up each object of a clip: each one id or a random union, no id in two; the rest is background.

    Args:
        ids: of the parts, distinct.
        num_objects: most objects; their number is uniform in 1..min(num_objects, len(ids)).

    Returns:
        The ids of each object; no object if there is no id.
    """
    if not ids:
        return []
    count = int(torch.randint(1, min(num_objects, len(ids)) + 1, ()))
    used = int(torch.randint(count, len(ids) + 1, ()))
    order = [ids[i] for i in torch.randperm(len(ids))[:used].tolist()]
    cuts = [0, *sorted((torch.randperm(used - 1)[: count - 1] + 1).tolist()), used]
    return [order[first:last] for first, last in pairwise(cuts)]


def read_several_ids(path: Path, *, grey: bool) -> np.ndarray | None:
    """The ids (H, W) uint8 of a mask of several objects, 0 where it is void; None if it shows one object or none.

    Args:
        path: of the mask.
        grey: grey masks hold ids too, see `grey_masks_hold_ids`.

    Raises:
        InputError: it cannot be read.
    """
    picture = open_mask(path)
    if picture.mode not in (("P", "L") if grey else ("P",)):
        return None
    values = np.array(picture)
    (ids,) = drop_void([values])
    if len(_ids_in(ids)) < 2 or _is_shaded(ids) or find_edges(picture, values) is not None:
        return None
    return ids


def grey_masks_hold_ids(masks: Sequence[Path]) -> bool:
    """Whether none of the grey masks of a set is brighter than 127, so that they hold ids rather than brightness."""
    found = False
    for path in masks:
        if _mode(path) == "L":
            try:
                if np.array(open_mask(path)).max() > HALF_BRIGHTNESS:
                    return False
                found = True
            except InputError:
                continue
    return found


def _holds_several(path: Path, grey: bool) -> bool:
    """Whether a mask holds several ids; one that cannot be read does not, which the samples say by themselves."""
    try:
        return _mode(path) in ("P", "L" if grey else "P") and read_several_ids(path, grey=grey) is not None
    except InputError:
        return False


def _mode(path: Path) -> str:
    """Pillow's mode of a picture by its header, "" if that cannot be read."""
    try:
        with Image.open(path) as picture:
            return picture.mode
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""


def _ids_in(ids: np.ndarray) -> list[int]:
    """The ids above 0, ascending."""
    return [int(value) for value in np.flatnonzero(np.bincount(ids.ravel(), minlength=1)) if value > 0]


def _is_shaded(ids: np.ndarray) -> bool:
    """Whether few pixels of the objects have only their like around them, as in a gradient."""
    square = np.ones((3, 3), np.uint8)
    inner = (cv2.erode(ids, square) == cv2.dilate(ids, square)) & (ids > 0)
    return bool(inner.sum() < FLAT_SHARE * (ids > 0).sum())


def _may_show_object(path: Path) -> bool:
    """Whether a mask shows an object, or cannot be read, which the samples say by themselves."""
    try:
        return bool(brightness_of_object(path).max() > HALF_BRIGHTNESS)
    except InputError:
        return True


def static_datasets(
    root: Path, *, num_objects: int = 1, left_out: Collection[str] = (), **options: Any
) -> list[tuple[StaticDataset, int]]:
    """All sets under `root` and how often each is gone through: once, BIG_small and HRSOD_small five times.

    Args:
        root: folder with the set folders fss, DUTS-TR, DUTS-TE, BIG_small, HRSOD_small, ecssd or others like them.
        num_objects: most objects of a clip; all sets have one mask plane if no mask holds several ids.
        left_out: names of pictures that are not used.
        options: further keywords of `StaticDataset`.

    Raises:
        InputError: the folder is missing or holds no set, or a picture that is to be left out is in none.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"static root {root} does not exist; download the static pictures or pass their folder")
    below = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
    folders = [path for path in below if static_pairs(path)]
    if not folders:
        raise InputError(f"static root {root} has no folder of .jpg pictures with .png masks, such as DUTS-TR or ecssd")
    unknown = set(left_out)
    for folder in folders if left_out else ():
        unknown -= {picture.relative_to(root).with_suffix("").as_posix() for picture, _ in static_pairs(folder)}
    if unknown:
        raise InputError(f"no picture of {root} is called {min(unknown)}, which is to be left out; check the list")
    sets = [StaticDataset(folder, num_objects=num_objects, left_out=left_out, **options) for folder in folders]
    if not any(found.several for found in sets):
        for found in sets:
            found.num_objects = 1
    return [(found, REPEATS.get(found.root.name, 1)) for found in sets]
