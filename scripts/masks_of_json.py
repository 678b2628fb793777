"""Writes masks that come as JSON, as those of BURST and OVIS do, as the folders that training and evaluation read.

    python scripts/masks_of_json.py --json data/BURST/annotations/train/train.json --frames data/BURST/frames/train \\
        --output data/BURST/train-vos --annotated
    python scripts/masks_of_json.py --json data/BURST/annotations/val/all_classes.json --frames data/BURST/frames/val \\
        --output data/BURST/val-vos
    python scripts/masks_of_json.py --json data/OVIS/annotations_train.json --frames data/OVIS/train \\
        --output data/OVIS/train-vos

The output holds JPEGImages/<video>/ (links to the frames where the disk has such, else copies), Annotations/<video>/
with palette PNGs, and meta.json with the frames of each object. A video of BURST is called <dataset>_-_<sequence>.
Videos that are there are skipped. Where masks overlap, the object that comes later in the file wins.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.mask_files import write_ids
from datasets.run_lengths import decode_mask
from util.errors import InputError, run
from util.files import atomic_folder, atomic_path, make_output_folder, remove_unfinished
from util.progress import Progress
from util.text_files import read_json

MOST_OBJECTS = 255
LARGEST = 1 << 33  # bytes of a file of masks
WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class CodedVideo:
    """A video of a JSON file.

    Attributes:
        name: its folder.
        frames: paths of its frames below the folder of all frames.
        size: height and width.
        masks: for each annotated frame, by its path, the codes of the objects.
    """

    name: str
    frames: Sequence[str]
    size: tuple[int, int]
    masks: Mapping[str, Mapping[int, Any]]


def read_videos(path: Path) -> list[CodedVideo]:
    """The videos of a file of BURST, or of OVIS and YouTube-VIS.

    Raises:
        InputError: it is neither, or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check --json")
    content = read_json(path, LARGEST)
    try:
        read = _burst_videos if "sequences" in content else _vis_videos
        return list(read(content))
    except WRONG as error:
        raise InputError(f"{path} is no file of BURST, OVIS or YouTube-VIS ({error!r:.200}); fetch it again") from error


def _burst_videos(content: Mapping[str, Any]) -> Iterator[CodedVideo]:
    for sequence in content["sequences"]:
        folder = f"{sequence['dataset']}/{sequence['seq_name']}"
        pairs = zip(sequence["annotated_image_paths"], sequence["segmentations"], strict=True)
        yield CodedVideo(
            folder.replace("/", "_-_"),
            [f"{folder}/{path}" for path in sequence["all_image_paths"]],
            (int(sequence["height"]), int(sequence["width"])),
            {f"{folder}/{path}": {int(k): mask["rle"] for k, mask in masks.items()} for path, masks in pairs},
        )


def _vis_videos(content: Mapping[str, Any]) -> Iterator[CodedVideo]:
    tracks: dict[int, list[Sequence[Any]]] = {video["id"]: [] for video in content["videos"]}
    for track in content["annotations"]:
        tracks[track["video_id"]].append(track["segmentations"])
    for video in content["videos"]:
        masks: dict[str, dict[int, Any]] = {path: {} for path in video["file_names"]}
        for k, codes in enumerate(tracks[video["id"]], start=1):
            for path, code in zip(video["file_names"], codes, strict=True):
                if code is not None:
                    masks[path][k] = code["counts"]
        name = Path(video["file_names"][0]).parent.name
        yield CodedVideo(name, video["file_names"], (int(video["height"]), int(video["width"])), masks)


def write_video(video: CodedVideo, frames: Path, output: Path, *, annotated: bool) -> None:
    """Write the frames and masks of a video.

    Args:
        video: the video.
        frames: folder of all frames.
        output: with JPEGImages and Annotations.
        annotated: only of the frames that have masks.

    Raises:
        InputError: a frame is missing, or a mask cannot be used.
    """
    with (
        atomic_folder(output / "Annotations" / video.name) as masks_folder,
        atomic_folder(output / "JPEGImages" / video.name) as frames_folder,
    ):
        for path in video.frames:
            if annotated and path not in video.masks:
                continue
            if not (frames / path).is_file():
                raise InputError(
                    f"frame {frames / path} of video {video.name} is missing; fetch the frames of the set again"
                )
            _place(frames / path, frames_folder / Path(path).name)
        for path, codes in video.masks.items():
            ids = np.zeros(video.size, np.uint8)
            for k, code in codes.items():
                if not 0 < k <= MOST_OBJECTS:
                    raise InputError(
                        f"video {video.name} has an object {k}; ids from 1 to {MOST_OBJECTS} can be written"
                    )
                try:
                    ids[decode_mask(code, video.size)] = k
                except ValueError as error:
                    raise InputError(f"object {k} of {path}: {error}; fetch the masks of the set again") from error
            write_ids(masks_folder / f"{Path(path).stem}.png", ids)


def _place(source: Path, target: Path) -> None:
    """Link a file, or copy it where the disk has no such links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def write_meta(videos: Sequence[CodedVideo], output: Path) -> None:
    """Write the frames of each object in the form of YouTube-VOS."""
    content = {}
    for video in videos:
        frames: dict[str, list[str]] = {}
        for path in sorted(video.masks, key=list(video.frames).index):
            for k in video.masks[path]:
                frames.setdefault(str(k), []).append(Path(path).stem)
        content[video.name] = {"objects": {k: {"frames": names} for k, names in frames.items()}}
    with atomic_path(output / "meta.json") as temporary:
        temporary.write_text(json.dumps({"videos": content}), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Read, write, say how much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file with the masks")
    parser.add_argument("--frames", type=Path, required=True, help="folder below which the file's frames lie")
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--annotated", action="store_true", help="only frames that have masks, as training wants them")
    args = parser.parse_args(argv)
    videos = read_videos(args.json)
    if not args.frames.is_dir():
        raise InputError(
            f"folder of frames {args.frames} does not exist; fetch the frames of the set, or check --frames"
        )
    folders = [make_output_folder(args.output / kind) for kind in ("JPEGImages", "Annotations")]
    for folder in folders:
        remove_unfinished(folder)
    missing = [video for video in videos if not all((folder / video.name).is_dir() for folder in folders)]
    with Progress(len(missing)) as progress:
        for video in missing:
            write_video(video, args.frames, args.output, annotated=args.annotated)
            progress.advance(video.name)
    write_meta(videos, args.output)
    print(f"wrote {len(missing)} videos to {args.output}, {len(videos) - len(missing)} were there")


if __name__ == "__main__":
    run(main)
