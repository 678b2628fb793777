"""Folder trees of made videos, as training and evaluation read them: static, DAVIS, BL30K, sets of today."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import SeedSequence, default_rng
from PIL import Image

from datasets.mask_files import write_binary, write_ids
from datasets.run_lengths import encode_mask
from datasets.synthetic.clips import SyntheticClip
from util.files import UNFINISHED, atomic_folder, atomic_path

JPEG_QUALITY = 95
STATIC_SETS = ("fss", "DUTS-TR", "DUTS-TE", "ecssd", "BIG_small", "HRSOD_small")
PICTURES_PER_CLASS = 10
YOUTUBE_STEP = 5
APPEARANCE_STREAM = 100
LAYOUTS_WITH_VALIDATION = ("davis", "youtube", "mose", "lvos", "vost", "burst")
LATE_LAYOUTS = ("youtube", "lvos", "burst", "sav")


@dataclass(frozen=True)
class VideoPlan:
    """One video, or with the static layout one picture, to be written.

    Attributes:
        split: "train" or "val".
        number: position within the split, from 0.
        objects: least and most objects; late: probability that an object of a YouTube video appears later.
    """

    output: Path
    layout: str
    split: str
    number: int
    seed: int
    frames: int
    size: tuple[int, int]
    objects: tuple[int, int]
    speed: float
    clutter: int
    late: float

    @property
    def name(self) -> str:
        """The video's name."""
        return f"{self.split}{self.number:05d}"

    def first_frames(self) -> list[int]:
        """Frame in which each object appears, in the order of the ids; always a fifth one, which YouTube annotates."""
        rng = default_rng(SeedSequence(self.seed, spawn_key=(APPEARANCE_STREAM,)))
        count = int(rng.integers(self.objects[0], self.objects[1] + 1))
        choices = range(YOUTUBE_STEP, int(0.6 * self.frames) + 1, YOUTUBE_STEP)
        if self.layout not in LATE_LAYOUTS or not choices:
            return [0] * count
        return sorted([0] + [int(rng.choice(choices)) if rng.random() < self.late else 0 for _ in range(count - 1)])

    def clip(self) -> SyntheticClip:
        """The video's frames."""
        firsts = self.first_frames()
        return SyntheticClip(
            self.seed, *self.size, len(firsts), first_frames=firsts, speed=self.speed, clutter=self.clutter
        )


def _write_jpeg(path: Path, rgb: np.ndarray) -> None:
    """Write a frame (H, W, 3), uint8, as a JPEG picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(rgb).save(temporary, format="JPEG", quality=JPEG_QUALITY)


def _write_mask(path: Path, ids: np.ndarray, *, binary: bool = False) -> None:
    """Write ids (H, W), uint8, as a palette PNG, or with `binary` all objects as 255 in a grey one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if binary:
        write_binary(path, ids > 0)
    else:
        write_ids(path, ids)


def _write_static(plan: VideoPlan, root: Path) -> list[Path]:
    """A picture and its 0/255 mask side by side; the pictures are dealt out to the training sets in turn."""
    place, chosen = divmod(plan.number, len(STATIC_SETS))
    folder, stem = Path(STATIC_SETS[chosen]), f"{place:05d}"
    if STATIC_SETS[chosen] == "fss":
        folder, stem = folder / f"class{place // PICTURES_PER_CLASS:04d}", str(place % PICTURES_PER_CLASS + 1)
    picture, mask = folder / f"{stem}.jpg", folder / f"{stem}.png"
    rgb, ids = plan.clip().frame(0)
    _write_jpeg(root / picture, rgb)
    _write_mask(root / mask, ids, binary=True)
    return [mask, picture]


def _write_bl30k(plan: VideoPlan, root: Path) -> list[Path]:
    """Frames and palette masks of every frame."""
    frames, masks = Path("JPEGImages", plan.name), Path("Annotations", plan.name)
    clip = plan.clip()
    for number in range(plan.frames):
        rgb, ids = clip.frame(number)
        _write_jpeg(root / frames / f"{number:05d}.jpg", rgb)
        _write_mask(root / masks / f"{number:05d}.png", ids)
    return [masks, frames]


def _write_davis(plan: VideoPlan, root: Path) -> list[Path]:
    """Frames with palette masks for DAVIS 2017, and the same with all objects merged for DAVIS 2016."""
    trees = [Path("2017/trainval"), Path("2016")]
    frames, frames_2016 = (tree / "JPEGImages" / "480p" / plan.name for tree in trees)
    masks, masks_2016 = (tree / "Annotations" / "480p" / plan.name for tree in trees)
    clip = plan.clip()
    for number in range(plan.frames):
        rgb, ids = clip.frame(number)
        _write_jpeg(root / frames / f"{number:05d}.jpg", rgb)
        _write_mask(root / masks / f"{number:05d}.png", ids)
        _write_mask(root / masks_2016 / f"{number:05d}.png", ids, binary=True)
    shutil.copytree(root / frames, root / frames_2016)
    return [masks, masks_2016, frames, frames_2016]


def _write_youtube(plan: VideoPlan, root: Path) -> list[Path]:
    """Training: each fifth frame and its mask. Validation: all frames, and masks where objects appear.

    The masks of all validation frames, which YouTube-VOS keeps to itself, lie beside `all_frames`' pictures.
    """
    if plan.split == "train":
        frames, masks = (Path("train_480p", kind, plan.name) for kind in ("JPEGImages", "Annotations"))
        clip = plan.clip()
        for number in range(0, plan.frames, YOUTUBE_STEP):
            rgb, ids = clip.frame(number)
            _write_jpeg(root / frames / f"{number:05d}.jpg", rgb)
            _write_mask(root / masks / f"{number:05d}.png", ids)
        return [masks, frames]
    every = Path("all_frames/valid_all_frames")
    frames, masks = (Path("valid", kind, plan.name) for kind in ("JPEGImages", "Annotations"))
    all_frames, all_masks = (every / kind / plan.name for kind in ("JPEGImages", "Annotations"))
    clip, firsts = plan.clip(), set(plan.first_frames())
    for number in range(plan.frames):
        rgb, ids = clip.frame(number)
        _write_jpeg(root / all_frames / f"{number:05d}.jpg", rgb)
        _write_mask(root / all_masks / f"{number:05d}.png", ids)
        if number % YOUTUBE_STEP == 0:
            _write_jpeg(root / frames / f"{number:05d}.jpg", rgb)
        if number in firsts:
            _write_mask(root / masks / f"{number:05d}.png", ids)
    return [masks, all_masks, frames, all_frames]


@dataclass(frozen=True)
class MadeSet:
    """The layout of one of the sets of `datasets.test.sets`, as they are published.

    Attributes:
        frames, masks: folders with a folder for each video; {part} is the part of the set. No masks: they are in JSON.
        train, val: names of the parts.
        name: of a frame.
        every: frames from one mask to the next.
        given: videos for validation have their first mask, and the true ones in <part>_truth.
        apart: each object has a folder of masks of its own.
    """

    frames: str = "{part}/JPEGImages"
    masks: str = "{part}/Annotations"
    train: str = "train"
    val: str = "valid"
    name: Callable[[int], str] = "{:05d}".format
    every: int = 1
    given: bool = False
    apart: bool = False


MADE_SETS = {
    "mose": MadeSet(given=True),
    "lvos": MadeSet(name=lambda number: f"{1 + YOUTUBE_STEP * number:08d}"),
    "long": MadeSet(train="long_video", every=4),
    "vost": MadeSet("JPEGImages", "Annotations", val="val"),
    "burst": MadeSet("frames/{part}/made", "", val="val", name="frame{:04d}".format, every=YOUTUBE_STEP),
    "ovis": MadeSet("{part}", "", name=lambda number: f"img_{number + 1:07d}"),
    "sav": MadeSet("{part}/JPEGImages_24fps", "{part}/Annotations_6fps", train="sav_val", every=4, apart=True),
}


def _write_made_set(plan: VideoPlan, root: Path) -> list[Path]:
    """Frames and masks in the layout of a published set."""
    layout, clip = MADE_SETS[plan.layout], plan.clip()
    part = layout.train if plan.split == "train" else layout.val
    frames, masks = (Path(pattern.format(part=part), plan.name) for pattern in (layout.frames, layout.masks or "-"))
    truth = Path(f"{part}_truth", plan.name)
    has_truth = layout.given and plan.split == "val"
    for number in range(plan.frames):
        rgb, ids = clip.frame(number)
        name = layout.name(number)
        _write_jpeg(root / frames / f"{name}.jpg", rgb)
        if has_truth:
            _write_mask(root / truth / f"{name}.png", ids)
        if not layout.masks or number % layout.every or (has_truth and number):
            continue
        if not layout.apart:
            _write_mask(root / masks / f"{name}.png", ids)
            continue
        for k in range(1, len(plan.first_frames()) + 1):
            _write_mask(root / masks / f"{k - 1:03d}" / f"{name}.png", ids == k, binary=True)
    return [*[truth] * has_truth, *[masks] * bool(layout.masks), frames]


WRITERS: dict[str, Callable[[VideoPlan, Path], list[Path]]] = {
    "static": _write_static,
    "davis": _write_davis,
    "youtube": _write_youtube,
    "bl30k": _write_bl30k,
    **dict.fromkeys(MADE_SETS, _write_made_set),
}


def write_video(plan: VideoPlan) -> str:
    """Write one video into a hidden folder and move it to its place when it is whole; files of others stay."""
    with tempfile.TemporaryDirectory(dir=plan.output, prefix=f".{plan.name}.", suffix=UNFINISHED) as temporary:
        for part in WRITERS[plan.layout](plan, Path(temporary)):
            made, target = Path(temporary, part), plan.output / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if made.is_dir():
                with atomic_folder(target) as folder:
                    for path in made.iterdir():
                        os.replace(path, folder / path.name)
            else:
                with atomic_path(target) as path:
                    os.replace(made, path)
    return plan.name


def _write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lists(output: Path, layout: str, plans: Sequence[VideoPlan]) -> None:
    """What a set ships beside frames and masks: lists of videos, meta.json, or the masks themselves."""
    names = {split: [plan.name for plan in plans if plan.split == split] for split in ("train", "val")}
    lines = {split: "".join(f"{name}\n" for name in listed) for split, listed in names.items()}
    if layout == "davis":
        for year in ("2016", "2017"):
            for split in ("train", "val"):
                _write_text(output / "2017/trainval/ImageSets" / year / f"{split}.txt", lines[split])
    if layout == "youtube":
        for split, part in (("train", "train_480p"), ("val", "valid")):
            videos = {plan.name: {"objects": _meta_objects(plan)} for plan in plans if plan.split == split}
            _write_text(output / part / "meta.json", json.dumps({"videos": videos}, indent=1))
    if layout == "vost":
        for split in ("train", "val"):
            _write_text(output / "ImageSets" / f"{split}.txt", lines[split])
    if layout == "sav":
        _write_text(output / "sav_val/sav_val.txt", lines["train"])
    if layout == "lvos":
        for split, part in (("train", "train"), ("val", "valid")):
            ranges = {plan.name: {"objects": _ranges(plan)} for plan in plans if plan.split == split}
            _write_text(output / part / f"{part}_meta.json", json.dumps({"videos": ranges}, indent=1))
        _write_text(output / "valid/unseen_videos.txt", "".join(f"{name}\n" for name in names["val"][1::2]))
    if layout == "burst":
        for split, place in (("train", "train/train.json"), ("val", "val/all_classes.json")):
            sequences = [_burst_sequence(plan) for plan in plans if plan.split == split]
            _write_text(
                output / "annotations" / place, json.dumps({"split": split, "categories": [], "sequences": sequences})
            )
    if layout == "ovis":
        _write_text(output / "annotations_train.json", json.dumps(_ovis_annotations(plans)))


def _ranges(plan: VideoPlan) -> dict[str, dict[str, dict[str, int]]]:
    """The numbers of the first and last frame of each object, and how many it has, as LVOS tells them."""
    return {
        str(label): {
            "frame_range": {
                "start": 1 + YOUTUBE_STEP * first,
                "end": 1 + YOUTUBE_STEP * (plan.frames - 1),
                "frame_nums": plan.frames - first,
            }
        }
        for label, first in enumerate(plan.first_frames(), start=1)
    }


def _burst_sequence(plan: VideoPlan) -> dict[str, object]:
    """A video of BURST, with masks of some frames."""
    layout, clip = MADE_SETS["burst"], plan.clip()
    paths = [f"{layout.name(number)}.jpg" for number in range(plan.frames)]
    masks = [
        {str(k): {"rle": encode_mask(ids == k), "is_gt": True} for k in np.unique(ids).tolist() if k}
        for ids in (clip.frame(number)[1] for number in range(0, plan.frames, layout.every))
    ]
    return {
        **{"dataset": "made", "seq_name": plan.name, "height": plan.size[0], "width": plan.size[1], "fps": 30},
        **{"all_image_paths": paths, "annotated_image_paths": paths[:: layout.every], "segmentations": masks},
        "track_category_ids": {str(k): 1 for k in range(1, len(plan.first_frames()) + 1)},
    }


def _ovis_annotations(plans: Sequence[VideoPlan]) -> dict[str, object]:
    """Videos and tracks as OVIS and YouTube-VIS have them."""
    videos: list[dict[str, object]] = []
    tracks: list[dict[str, object]] = []
    for number, plan in enumerate(plans, start=1):
        clip, names = plan.clip(), [f"{plan.name}/{MADE_SETS['ovis'].name(i)}.jpg" for i in range(plan.frames)]
        size = {"height": plan.size[0], "width": plan.size[1]}
        videos.append({"id": number, "length": plan.frames, "file_names": names, **size})
        ids = [clip.frame(i)[1] for i in range(plan.frames)]
        for k in range(1, len(plan.first_frames()) + 1):
            codes = [{"size": list(plan.size), "counts": encode_mask(i == k)} if (i == k).any() else None for i in ids]
            tracks.append({"id": len(tracks) + 1, "video_id": number, "category_id": 1, "segmentations": codes})
    return {"videos": videos, "annotations": tracks, "categories": []}


def _meta_objects(plan: VideoPlan) -> dict[str, dict[str, object]]:
    """The objects of a video as in YouTube-VOS' meta.json: each fifth frame from the first appearance on.

    The categories are made up: training has one, of which every second object for validation is not.
    """
    return {
        str(label): {
            "category": "synthetic" if plan.split == "train" or label % 2 else "unseen",
            "frames": [f"{number:05d}" for number in range(first, plan.frames, YOUTUBE_STEP)],
        }
        for label, first in enumerate(plan.first_frames(), start=1)
    }
