"""What a session gives to others: masks as the rest of the project reads them, data sets, a video, COCO."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from datasets.boxes.boxes import box_of_mask
from datasets.mask_files import write_ids
from datasets.run_lengths import encode_mask
from datasets.test.annotated_video import read_ahead
from evaluation.writers import OverlayWriter, Result
from interactive.session import InteractiveSession
from util.errors import InputError
from util.files import atomic_folder, atomic_path

JPEG_QUALITY = 95
SUFFIXES = {"masks": "", "overlay": ".mp4", "youtube": "", "davis": "", "coco": ".json"}

# In which objects are shown on the page and in overlays: bright ones, which tell apart in the dark.
COLOURS = (
    *("#ff5a52", "#3fa7ff", "#ffd23f", "#4fd67a", "#d98cff", "#ff9f45", "#35d6d0", "#ff7ab8", "#b7e34d", "#a39bff"),
)

Report = Callable[[int, int], None]


def export(
    session: InteractiveSession, form: str, folder: Path, report: Report, cancelled: Callable[[], bool] = lambda: False
) -> Path:
    """Write a session in one of the forms of `SUFFIXES`; it appears when it is whole.

    Frames without a mask are left out, but of the video, which has all frames.

    Args:
        session: with its masks.
        form: `masks` (<frame>.png with ids), `overlay` (a video), `youtube` and `davis` (trees as train.py and
            eval_davis.py read them) or `coco` (one JSON file).
        folder: where the form gets a folder or a file of its name.
        report: called with frames done, and of how many.
        cancelled: asked before each frame.

    Returns:
        The path of what was written.

    Raises:
        InputError: no frame has a mask, it was cancelled, or a file of somebody else is in the way.
        OSError: it cannot be written; nothing half-written stays.
    """
    if not session.known.has_mask.any():
        raise InputError("no frame has a mask yet; click an object first")
    folder.mkdir(exist_ok=True)
    path = folder / f"{form}{SUFFIXES[form]}"
    write = {"masks": _write_masks, "overlay": _write_overlay, "coco": _write_coco}.get(form)
    indices = [i for i in range(len(session)) if form == "overlay" or session.known.has_mask[i]]

    def positions() -> Iterator[int]:
        for number, index in enumerate(indices):
            if cancelled():
                raise InputError("the export was stopped; nothing was written")
            yield index
            report(number + 1, len(indices))

    if write is not None:
        write(session, path, positions())
    else:
        _write_tree(session, path, form, positions())
    return path


def _write_masks(session: InteractiveSession, path: Path, indices: Iterator[int]) -> None:
    with atomic_folder(path) as partial:
        for index in indices:
            write_ids(partial / f"{session.source.names[index]}.png", session.mask(index))


def _write_overlay(session: InteractiveSession, path: Path, indices: Iterator[int]) -> None:
    source = session.source
    items = source.items(0, len(session))
    with (
        OverlayWriter(path, source.rate, palette(), source.times) as writer,
        closing(read_ahead(source.load, items)) as frames,
    ):
        for index, pixels in zip(indices, frames, strict=True):
            writer.add(Result(index, source.names[index], pixels, session.mask(index)))


def _write_tree(session: InteractiveSession, path: Path, form: str, indices: Iterator[int]) -> None:
    """Frames and masks as in YouTube-VOS or DAVIS 2017, with the video as the only one of its set."""
    root = Path("train_480p" if form == "youtube" else "trainval")
    below = Path(session.name) if form == "youtube" else Path("480p") / session.name
    present: dict[int, list[str]] = {}
    with atomic_folder(path) as partial:
        frames, masks = partial / root / "JPEGImages" / below, partial / root / "Annotations" / below
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in indices:
            name, ids = session.source.names[index], session.mask(index)
            jpeg = simplejpeg.encode_jpeg(session.frame(index), quality=JPEG_QUALITY, colorsubsampling="420")
            (frames / f"{name}.jpg").write_bytes(jpeg)
            write_ids(masks / f"{name}.png", ids)
            for k in np.unique(ids[ids > 0]).tolist():
                present.setdefault(k, []).append(name)
        if form == "davis":
            lists = partial / root / "ImageSets" / "2017"
            lists.mkdir(parents=True)
            for split in ("train", "val"):
                (lists / f"{split}.txt").write_text(f"{session.name}\n", encoding="utf-8")
            return
        objects = {str(k): {"category": name, "frames": present.get(k, [])} for k, name in _names(session).items()}
        meta = json.dumps({"videos": {session.name: {"objects": objects}}}, ensure_ascii=False)
        (partial / root / "meta.json").write_text(meta, encoding="utf-8")


def _write_coco(session: InteractiveSession, path: Path, indices: Iterator[int]) -> None:
    """Images, categories (the objects) and annotations with compressed RLE; written as it comes, in any length."""
    height, width = session.source.size
    categories = [{"id": k, "name": name, "supercategory": "object"} for k, name in _names(session).items()]
    images: list[dict[str, Any]] = []
    count = 0
    with ExitStack() as stack:
        stream = stack.enter_context(stack.enter_context(atomic_path(path)).open("w", encoding="utf-8"))
        stream.write('{"annotations": [')
        for index in indices:
            name, ids = session.source.names[index], session.mask(index)
            images.append({"id": index + 1, "file_name": f"{name}.jpg", "height": height, "width": width})
            for k in np.unique(ids[ids > 0]).tolist():
                count += 1
                entry = _annotation(ids == k) | {"id": count, "image_id": index + 1, "category_id": k, "track_id": k}
                stream.write((",\n" if count > 1 else "\n") + json.dumps(entry))
        head = {"info": {"description": session.name}, "images": images, "categories": categories}
        stream.write("],\n" + json.dumps(head, ensure_ascii=False)[1:])


def _annotation(mask: np.ndarray) -> dict[str, Any]:
    return {
        "segmentation": {"size": list(mask.shape), "counts": encode_mask(mask)},
        "area": int(cv2.countNonZero(mask.view(np.uint8))),
        "bbox": list(box_of_mask(mask) or (0, 0, 0, 0)),
        "iscrowd": 0,
    }


def _names(session: InteractiveSession) -> Mapping[int, str]:
    return {thing.id: thing.name for thing in session.objects}


def palette() -> np.ndarray:
    """Colours of the ids 0..255, (256, 3) uint8; they come round again."""
    rows = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS], np.uint8)
    return np.concatenate([np.zeros((1, 3), np.uint8), rows[np.arange(255) % len(rows)]])
