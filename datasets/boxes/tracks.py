"""Where objects are in the frames of training sets, as boxes: what trackers learn from.

| name | below its root |
|---|---|
| LASOT | <class>/<class>-<n>/{img/%08d.jpg,groundtruth.txt,full_occlusion.txt,out_of_view.txt} |
| GOT10K_vottrain, GOT10K_votval, GOT10K_train_full, GOT10K_official_val | {train,val}/{list.txt,<video>/{%08d.jpg, |
| | groundtruth.txt,absence.label,cover.label}} |
| COCO17 | annotations/instances_train2017.json, train2017/ or images/train2017/ |
| TRACKINGNET | TRAIN_<0..11>/{anno/<video>.txt,frames/<video>/<k>.jpg} |
| TNL2K | <video>/{imgs/*,groundtruth.txt} |
| DAVIS_2016, DAVIS_2017, YOUTUBE, MASKS | JPEGImages/<video>/*, Annotations/<video>/*.png |
| STATIC | <set>/<name>.jpg, <set>/<name>.png |
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datasets.boxes.boxes import box_of_mask, read_boxes
from datasets.boxes.trees import LASOT_LIST, TRUTH, GOT10k, LaSOT, read_flags
from datasets.mask_files import HALF_BRIGHTNESS, brightness_of_object, drop_void, list_pairs, match_size, read_ids
from datasets.train.static_dataset import grey_masks_hold_ids, read_several_ids, static_pairs
from datasets.video_list import read_video_list
from util.errors import InputError
from util.images import is_clutter, list_images, picture_size

GOT10K_SPLIT = Path(__file__).parent / "got10k_vot_split.npz"
LASOT_VIDEOS = 20  # of each class
TRACKINGNET_PARTS = 12
COCO_JSON = "annotations/instances_train2017.json"
FRAMES, MASKS = "JPEGImages", "Annotations"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Track:
    """One object in a video, or in a picture.

    Attributes:
        name: for messages.
        frame: position of a frame -> its file.
        boxes: (T, 4), x, y, width, height in pixels of the frames; not a number or without size where there is none.
        visible: whether the object is seen in a frame and has a box, (T,) bool.
    """

    name: str
    frame: Callable[[int], Path]
    boxes: np.ndarray
    visible: np.ndarray


class TrackSet(ABC):
    """Videos or pictures by number, each with the tracks of its objects.

    Attributes:
        is_video: whether an object's frames follow each other; else there is one.
    """

    is_video = True

    @abstractmethod
    def __len__(self) -> int:
        """Number of videos or pictures; of objects, where the data set lists these."""

    @abstractmethod
    def __getitem__(self, number: int) -> list[Track]:
        """The objects of one of them; none where it shows nothing.

        Raises:
            InputError: a file is missing or damaged.
        """


def has_size(boxes: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Whether boxes (T, 4) have a width and a height above 0, of at least so many pixels: (T,) bool."""
    sides = boxes[:, 2:].min(1)
    return (sides > 0) & (sides >= least)


class TextTracks(TrackSet):
    """Videos with a text file of boxes, one object each.

    Args:
        names: of the videos.
        least_side: smaller boxes count as not visible, in pixels.
    """

    def __init__(self, names: Sequence[str], least_side: float) -> None:
        self.names = list(names)
        self._least_side = least_side

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> list[Track]:
        name = self.names[number]
        boxes = read_boxes(self.truth(name))
        visible = has_size(boxes, self._least_side) & self.seen(name, len(boxes))
        return [Track(name, partial(self.frame, name), boxes, visible)]

    @abstractmethod
    def truth(self, name: str) -> Path:
        """The file of a video's boxes."""

    @abstractmethod
    def frame(self, name: str, position: int) -> Path:
        """The file of a frame."""

    def seen(self, name: str, count: int) -> np.ndarray:
        """Whether the object is in view in each of so many frames, (T,) bool, as far as more than its box tells it.

        Raises:
            InputError: files that tell are missing or damaged.
        """
        return np.ones(count, bool)


class TreeTracks(TextTracks):
    """Videos whose frames are numbered from 1, with eight digits.

    Args:
        tree: where they lie.
        names, least_side: see `TextTracks`.
    """

    def __init__(self, tree: LaSOT | GOT10k, names: Sequence[str], least_side: float) -> None:
        super().__init__(names, least_side)
        self._tree = tree

    def truth(self, name: str) -> Path:
        return self._tree.folder(name) / TRUTH

    def frame(self, name: str, position: int) -> Path:
        return self._tree.frames(name) / f"{position + 1:08}.jpg"


class LasotTracks(TreeTracks):
    """The training videos of LaSOT: 20 of each class without those of the test set.

    Args:
        root: folder of the data set.
        names: of the videos to use instead; None for the training set.
        least_side: see `TextTracks`.

    Raises:
        InputError: no video is there, or one lacks a file of its annotations.
    """

    def __init__(self, root: Path, names: Collection[str] | None, least_side: float = 0.0) -> None:
        wanted = lasot_training_videos() if names is None else sorted(names)
        tree = LaSOT(root, wanted)
        super().__init__(tree, _present(root, wanted, tree.folder, "LASOT", "<class>/<class>-<n>"), least_side)
        needed = (TRUTH, "full_occlusion.txt", "out_of_view.txt")
        _require(tree.folder(name) / file for name in self.names for file in needed)

    def seen(self, name: str, count: int) -> np.ndarray:
        return self._tree.visible(name, count)


def lasot_training_videos() -> list[str]:
    """Names of the 1120 videos of LaSOT that are not in its test set."""
    test = dict.fromkeys(read_video_list(LASOT_LIST))
    classes = dict.fromkeys(name.rpartition("-")[0] for name in test)
    names = (f"{kind}-{number}" for kind in classes for number in range(1, LASOT_VIDEOS + 1))
    return [name for name in names if name not in test]


class Got10kTracks(TreeTracks):
    """A part of GOT-10k.

    Args:
        root: folder that holds train/ and val/.
        names: of its videos those to use; None for all.
        least_side: see `TextTracks`.
        split: "train_full", "official_val", or "vottrain" and "votval", PyTracking's split of the training videos.

    Raises:
        InputError: the list or all videos are missing, a video lacks a file of its annotations, or the list has not the
            videos of the split.
    """

    def __init__(
        self, root: Path, names: Collection[str] | None, least_side: float = 0.0, *, split: str = "train_full"
    ) -> None:
        part = "val" if split == "official_val" else "train"
        listed = got10k_videos(root / part / "list.txt", split)
        wanted = listed if names is None else [name for name in listed if name in names]
        tree = GOT10k(root, wanted, part)
        super().__init__(tree, _present(root / part, wanted, tree.folder, f"GOT10K_{split}", "<video>"), least_side)
        self._cover = tree.cover
        needed = (TRUTH, "absence.label", "cover.label")
        _require(tree.folder(name) / file for name in self.names for file in needed)

    def seen(self, name: str, count: int) -> np.ndarray:
        absence = read_flags(self._tree.folder(name) / "absence.label", count, 1)
        return (absence == 0) & (self._cover(name, count) > 0)


def got10k_videos(path: Path, split: str) -> list[str]:
    """The videos of a split, see `Got10kTracks`, by the data set's own list.

    The published split leaves out 1000 videos that were to be those which VOT forbids, but counts from 0 what is named
    from 1: all but 110 of the forbidden ones are in it.

    Raises:
        InputError: the list is missing, or has not the number of videos that the split is of.
    """
    if not path.is_file():
        raise InputError(f"list of videos {path} does not exist; check the root of GOT10K_{split}")
    listed = read_video_list(path)
    if split not in ("vottrain", "votval"):
        return listed
    with np.load(GOT10K_SPLIT) as file:
        kinds = file["vot"]
    if len(listed) != len(kinds):
        raise InputError(
            f"{path} names {len(listed)} videos but GOT10K_{split} is a split of {len(kinds)}; fetch all of GOT-10k, "
            "or use GOT10K_train_full"
        )
    return [name for name, kind in zip(listed, kinds, strict=True) if kind == (1 if split == "vottrain" else 2)]


class TrackingNetTracks(TextTracks):
    """The videos of those of the twelve training parts of TrackingNet that are there.

    Args:
        root: folder that holds TRAIN_0 to TRAIN_11.
        names: of the videos to use; None for all.
        least_side: see `TextTracks`.

    Raises:
        InputError: there is no such video.
    """

    def __init__(self, root: Path, names: Collection[str] | None, least_side: float = 0.0) -> None:
        parts = [root / f"TRAIN_{number}" for number in range(TRACKINGNET_PARTS)]
        found = [part for part in parts if (part / "anno").is_dir()]
        files = {path.stem: path for part in found for path in sorted((part / "anno").glob("*.txt"))}
        self._truths = {name: path for name, path in files.items() if names is None or name in names}
        if not self._truths:
            raise InputError(f"{root} holds no wanted TRAIN_<0..11>/anno/<video>.txt; check the root of TRACKINGNET")
        if len(found) < len(parts):
            logger.warning("%s: %d of the %d parts TRAIN_<n> are there", root, len(found), len(parts))
        super().__init__(list(self._truths), least_side)

    def truth(self, name: str) -> Path:
        return self._truths[name]

    def frame(self, name: str, position: int) -> Path:
        return self._truths[name].parents[1] / "frames" / name / f"{position}.jpg"


class Tnl2kTracks(TextTracks):
    """The videos of TNL2K below a folder.

    Args:
        root: folder of the videos.
        names: of the videos to use; None for all.
        least_side: see `TextTracks`.

    Raises:
        InputError: there is no such video, or one has no boxes.
    """

    def __init__(self, root: Path, names: Collection[str] | None, least_side: float = 0.0) -> None:
        below = sorted(path.parent.name for path in root.glob("*/imgs") if path.is_dir())
        super().__init__([name for name in below if names is None or name in names], least_side)
        self._root = root
        if not self.names:
            raise InputError(f"{root} holds no wanted <video>/imgs; check the root of TNL2K")
        _require(map(self.truth, self.names))

    def truth(self, name: str) -> Path:
        return self._root / name / TRUTH

    def frame(self, name: str, position: int) -> Path:
        paths = list_images(self._root / name / "imgs")
        if position >= len(paths):
            raise InputError(f"{self.truth(name)} has more boxes than there are frames; fetch the video again")
        return paths[position]


def _present(root: Path, names: Iterable[str], folder: Callable[[str], Path], kind: str, layout: str) -> list[str]:
    """Those of the videos whose folders are there; how many are not is logged."""
    names = list(names)
    if not root.is_dir():
        raise InputError(f"folder {root} does not exist; check the root of {kind}")
    present = [name for name in names if folder(name).is_dir()]
    if not present:
        raise InputError(f"{root} holds no wanted video as {layout}; check the root and the list of {kind}")
    if len(present) < len(names):
        missing = [name for name in names if name not in set(present)]
        logger.warning("%s: %d of %d videos are missing: %s", root, len(missing), len(names), ", ".join(missing[:5]))
    return present


def _require(files: Iterable[Path]) -> None:
    for path in files:
        if not path.is_file():
            raise InputError(f"{path} does not exist; fetch the annotations of this video again, or leave it out")


class CocoTracks(TrackSet):
    """The objects of COCO's training pictures, crowds left out; each is a track of one picture.

    Args:
        root: folder of the data set.
        names: of the pictures to use, without ending; None for all.
        least_side: smaller boxes count as not visible, in pixels.

    Raises:
        InputError: annotations or pictures are missing, or the annotations are damaged.
    """

    is_video = False

    def __init__(self, root: Path, names: Collection[str] | None, least_side: float = 0.0) -> None:
        folders = [root / "train2017", root / "images/train2017"]
        found = [folder for folder in folders if folder.is_dir()]
        if not found:
            raise InputError(f"neither {folders[0]} nor {folders[1]} exists; check the root of COCO17")
        self._folder, self._least_side = found[0], least_side
        path = root / COCO_JSON
        content = _read_annotations(path)
        try:
            files = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
            objects = [entry for entry in content["annotations"] if not entry.get("iscrowd")]
            chosen = [e for e in objects if names is None or Path(files[e["image_id"]]).stem in names]
            self._files = [files[entry["image_id"]] for entry in chosen]
            self.ids = [entry["id"] for entry in chosen]
            self._boxes = np.array([entry["bbox"] for entry in chosen], float).reshape(-1, 4)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} holds no instances of COCO ({error!r:.100}); fetch it again") from error
        if not chosen:
            raise InputError(f"{path} has no object in a wanted picture; check it and the list of COCO17")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> list[Track]:
        path, boxes = self._folder / self._files[number], self._boxes[number : number + 1]
        return [Track(f"{path.stem}/{self.ids[number]}", [path].__getitem__, boxes, has_size(boxes, self._least_side))]


def _read_annotations(path: Path) -> Any:
    """The content of a large JSON file without the outlines of objects, which are most of it."""

    def without_outline(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("segmentation", None)
        return entry

    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_hook=without_outline)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the root of COCO17") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is cut off or no JSON ({error!s:.100}); fetch it again") from error


class MaskTracks(TrackSet):
    """Videos with masks: the boxes around every object's, read when a video is first asked for.

    Args:
        videos: name -> frames and masks, in temporal order.
        least_side: smaller boxes count as not visible, in pixels.
    """

    def __init__(self, videos: Mapping[str, Sequence[tuple[Path, Path]]], least_side: float = 0.0) -> None:
        self.names = list(videos)
        self._videos, self._least_side = videos, least_side
        self._known: dict[int, list[Track]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> list[Track]:
        if number not in self._known:
            self._known[number] = self._read(self.names[number])
        return self._known[number]

    def _read(self, name: str) -> list[Track]:
        pairs = self._videos[name]
        size = picture_size(pairs[0][0])
        masks = drop_void([match_size(read_ids(path), size, path) for _, path in pairs])
        frames = [frame for frame, _ in pairs]
        return [
            Track(f"{name}/{label}", frames.__getitem__, boxes, has_size(boxes, self._least_side))
            for label, boxes in boxes_of_ids(masks).items()
        ]


class StillTracks(TrackSet):
    """Pictures with masks, `<name>.jpg` and `<name>.png`: the boxes around every object's.

    A mask of several ids shows several objects, any other one.

    Args:
        root: a folder of such pictures, or a folder of these.
        names: of the pictures to use, without ending; None for all.
        least_side: smaller boxes count as not visible, in pixels.

    Raises:
        InputError: there is no such picture.
    """

    is_video = False

    def __init__(self, root: Path, names: Collection[str] | None, least_side: float = 0.0) -> None:
        if not root.is_dir():
            raise InputError(f"folder {root} does not exist; check the root of STATIC")
        below = sorted(path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name))
        self._pairs: list[tuple[Path, Path, bool]] = []
        for folder in [root] if static_pairs(root) else below:
            found = static_pairs(folder)
            grey = grey_masks_hold_ids([mask for _, mask in found])
            self._pairs += [(*pair, grey) for pair in found if names is None or pair[0].stem in names]
        if not self._pairs:
            raise InputError(
                f"{root} holds no wanted picture .jpg with its mask .png beside it; check the root of STATIC"
            )
        self._least_side = least_side
        self._known: dict[int, list[Track]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> list[Track]:
        if number not in self._known:
            self._known[number] = self._read(*self._pairs[number])
        return self._known[number]

    def _read(self, picture: Path, mask: Path, grey: bool) -> list[Track]:
        ids = read_several_ids(mask, grey=grey)
        if ids is None:
            ids = (brightness_of_object(mask) > HALF_BRIGHTNESS).astype(np.uint8)
        ids = match_size(ids, picture_size(picture), mask)
        return [
            Track(f"{picture}/{label}", [picture].__getitem__, boxes, has_size(boxes, self._least_side))
            for label, boxes in boxes_of_ids([ids]).items()
        ]


def boxes_of_ids(masks: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """The boxes (T, 4) around each object of masks (H, W), uint8; without size where it does not show."""
    found = [np.flatnonzero(np.bincount(ids.ravel(), minlength=1)) for ids in masks]
    labels = sorted({int(label) for values in found for label in values if label > 0})
    return {label: np.array([box_of_mask(ids == label) or (0, 0, 0, 0) for ids in masks], float) for label in labels}


def mask_tracks(
    root: Path, names: Collection[str] | None, least_side: float = 0.0, *, kind: str = "MASKS"
) -> MaskTracks:
    """The videos of a tree of masks: DAVIS, YouTube-VOS, or any of this form.

    Args:
        root: of the data set, or the folder that holds JPEGImages and Annotations (with 480p in them, or not).
        names: of the videos to use; by default those of the training list of DAVIS, and all of others.
        least_side: see `MaskTracks`.
        kind: DAVIS_2016, DAVIS_2017, YOUTUBE or MASKS.

    Raises:
        InputError: there is no such folder, no list of training videos where there must be one, or no video.
    """
    places = {
        "DAVIS_2016": (root / "2016", root),
        "DAVIS_2017": (root / "2017/trainval", root),
        "YOUTUBE": (root / "train_480p", root / "train", root),
        "MASKS": (root,),
    }[kind]
    tree = next((place for place in places if (place / FRAMES).is_dir() and (place / MASKS).is_dir()), None)
    if tree is None:
        raise InputError(f"{places[0]} holds no {FRAMES} and {MASKS}; check the root of {kind}")
    if kind.startswith("DAVIS"):
        listed = set(_davis_list(root, tree, kind))
        if foreign := sorted(set(names or ()) - listed):
            raise InputError(f"video {foreign[0]} is not among the training videos of {kind}; mend the list")
        names = listed if names is None else names
    frames, masks = (_below(tree / folder) for folder in (FRAMES, MASKS))
    present = sorted(path.name for path in frames.iterdir() if path.is_dir() and not is_clutter(path.name))
    wanted = present if names is None else sorted(names)
    videos = {name: list_pairs(frames / name, masks / name) for name in wanted}
    videos = {name: pairs for name, pairs in videos.items() if pairs}
    if not videos:
        raise InputError(f"{frames} holds no wanted video with masks in {masks}; check the root and the list of {kind}")
    if missing := [name for name in wanted if name not in videos]:
        logger.warning("%s: %d videos have no frames with masks: %s", frames, len(missing), ", ".join(missing[:5]))
    return MaskTracks(videos, least_side)


def _below(folder: Path) -> Path:
    return folder / "480p" if (folder / "480p").is_dir() else folder


def _davis_list(root: Path, tree: Path, kind: str) -> list[str]:
    year = kind.removeprefix("DAVIS_")
    folders = [tree / "ImageSets", root / "2017/trainval/ImageSets"]
    paths = [folder / name / "train.txt" for folder in folders for name in (year, *["480p"] * (year == "2016"))]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise InputError(f"{paths[0]} does not exist, so that videos of other splits might be learned; fetch it")
    return read_video_list(found)


Open = Callable[..., TrackSet]
# Each by the name that the published configurations have for it, with the folder of its root.
TRACK_SETS: dict[str, tuple[str, Open]] = {
    "LASOT": ("lasot", LasotTracks),
    **{
        f"GOT10K_{split}": ("got10k", partial(Got10kTracks, split=split))
        for split in ("vottrain", "votval", "train_full", "official_val")
    },
    "COCO17": ("coco", CocoTracks),
    "TRACKINGNET": ("trackingnet", TrackingNetTracks),
    "TNL2K": ("tnl2k", Tnl2kTracks),
    "DAVIS_2016": ("DAVIS", partial(mask_tracks, kind="DAVIS_2016")),
    "DAVIS_2017": ("DAVIS", partial(mask_tracks, kind="DAVIS_2017")),
    "YOUTUBE": ("YouTube", partial(mask_tracks, kind="YOUTUBE")),
    "MASKS": ("masks", mask_tracks),
    "STATIC": ("static", StillTracks),
}


def open_tracks(name: str, root: Path, names: Collection[str] | None = None, least_side: float = 0.0) -> TrackSet:
    """A training set by its name among `TRACK_SETS`.

    Args:
        name: of the set.
        root: where it lies.
        names: of the videos, or pictures, to use; None for all that are for training.
        least_side: smaller boxes count as not visible, in pixels.

    Raises:
        InputError: see `LasotTracks` and the others.
    """
    if not root.is_dir():
        raise InputError(f"folder {root} does not exist; check the root of {name}")
    return TRACK_SETS[name][1](root, names, least_side)
