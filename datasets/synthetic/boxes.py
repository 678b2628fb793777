"""Made videos as trees of boxes, laid out and annotated like LaSOT and GOT-10k."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.boxes.boxes import box_of_mask, format_rows
from util.files import atomic_path, write_text

JPEG_QUALITY = 95
COVER_LEVELS = 8
NO_BOX = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class BoxVideo:
    """Frames and the exact mask of one object, which is in the first frame.

    Attributes:
        rgb: (T, H, W, 3), uint8.
        masks: (T, H, W), bool.
    """

    rgb: np.ndarray
    masks: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """The box in each frame, (T, 4); zeros where the object is gone."""
        return np.array([box_of_mask(mask) or NO_BOX for mask in self.masks])

    @property
    def gone(self) -> np.ndarray:
        """Whether nothing of the object shows, (T,) bool."""
        return np.logical_not(self.masks.any(axis=(1, 2)))

    @property
    def at_border(self) -> np.ndarray:
        """Whether the object touches the border of the frame, or did so before it went, (T,) bool."""
        size = np.array(self.masks.shape[:0:-1])
        touches = [bool((box[:2] == 0).any() or (box[:2] + box[2:] == size).any()) for box in self.boxes]
        for t in np.flatnonzero(self.gone):
            touches[t] = touches[t - 1]
        return np.array(touches)

    @property
    def cover(self) -> np.ndarray:
        """How much of the object shows, (T,), 0 to 8, by the largest area in which it is seen."""
        areas = self.masks.sum(axis=(1, 2))
        return np.ceil(COVER_LEVELS * areas / areas.max()).astype(int)


def write_lasot(root: Path, name: str, video: BoxVideo) -> None:
    """Write a video of a LaSOT tree; its name is like "cat-1", where what is before the last hyphen is the class."""
    folder = root / name.rpartition("-")[0] / name
    _write_frames(folder / "img", video.rgb)
    outside = video.gone & video.at_border
    write_text(folder / "groundtruth.txt", format_rows(video.boxes, "%d"))
    write_text(folder / "out_of_view.txt", format_rows(outside[None], "%d"))
    write_text(folder / "full_occlusion.txt", format_rows((video.gone & ~outside)[None], "%d"))


def write_got10k(root: Path, part: str, name: str, video: BoxVideo) -> None:
    """Write a video of the "val" or "test" part of a GOT-10k tree, in the latter with nothing but the first box."""
    folder = root / part / name
    _write_frames(folder, video.rgb)
    known = 1 if part == "test" else len(video.boxes)
    write_text(folder / "groundtruth.txt", format_rows(video.boxes[:known], "%.4f"))
    if part == "val":
        labels = {"cover": video.cover, "absence": video.gone, "cut_by_image": video.at_border & ~video.gone}
        for label, values in labels.items():
            write_text(folder / f"{label}.label", format_rows(values[:, None], "%d"))
        height, width = video.masks.shape[1:]
        write_text(folder / "meta_info.ini", f"[METAINFO]\nresolution: ({width}, {height})\n")


def write_box_tree(root: Path, videos: Iterable[BoxVideo]) -> int:
    """Write each video to a LaSOT tree `<root>/lasot` and to both parts of a GOT-10k tree `<root>/got10k`.

    Returns:
        The number of videos.
    """
    lists = {
        "lasot/testing_set.txt": "made-{}",
        "got10k/val/list.txt": "GOT-10k_Val_{:06}",
        "got10k/test/list.txt": "GOT-10k_Test_{:06}",
    }
    names: list[list[str]] = []
    for number, video in enumerate(videos, start=1):
        names.append([form.format(number) for form in lists.values()])
        write_lasot(root / "lasot", names[-1][0], video)
        write_got10k(root / "got10k", "val", names[-1][1], video)
        write_got10k(root / "got10k", "test", names[-1][2], video)
    for path, column in zip(lists, zip(*names, strict=True), strict=True):
        write_text(root / path, "".join(f"{name}\n" for name in column))
    return len(names)


def _write_frames(folder: Path, rgb: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(rgb, start=1):
        with atomic_path(folder / f"{number:08d}.jpg") as temporary:
            Image.fromarray(pixels).save(temporary, format="JPEG", quality=JPEG_QUALITY)
