"""Whether an unpacked data set has what its own lists declare."""

from collections.abc import Iterator
from pathlib import Path

from datasets.video_list import read_scored_frames
from util.errors import InputError
from util.text_files import read_text

FRAMES, MASKS = "JPEGImages", "Annotations"
RESOLUTION = "480p"


def missing_content(folder: Path) -> str:
    """What is missing from an unpacked data set although it says that it holds it; empty if nothing is.

    Known are the lists of DAVIS in `ImageSets/2017`, the `meta.json` of YouTube-VOS, and that videos of `Annotations`
    have frames. A list of which no video is there belongs to another archive.

    Args:
        folder: with JPEGImages and Annotations; others declare nothing.
    """
    missing = [*_missing_of_davis(folder), *_missing_of_youtube(folder)] or list(_masks_without_frames(folder))
    return f"{missing[0]}{f' (and {len(missing) - 1} other things)' * (len(missing) > 1)}" if missing else ""


def missing_pairs(frames: Path, masks: Path) -> str:
    """What is missing where two folders do not hold the same videos, each with as many frames as masks; else empty."""
    counts = [
        {video.name: _count_visible(video) for video in folder.iterdir() if video.is_dir()}
        for folder in (frames, masks)
    ]
    differing = sorted(name for name in counts[0].keys() | counts[1] if counts[0].get(name) != counts[1].get(name))
    if not differing:
        return ""
    name = differing[0]
    has_frames, has_masks = (count.get(name, 0) for count in counts)
    kind = "frames" if has_frames < has_masks else "masks"
    return f"{kind} of video {name}, of which it has {has_frames} frames and {has_masks} masks"


def _missing_of_davis(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("ImageSets/2017/*.txt")):
        videos = read_text(path).split()
        kinds = [kind for kind in (FRAMES, MASKS) if (folder / kind / RESOLUTION).is_dir()]
        if any((folder / FRAMES / RESOLUTION / video).is_dir() for video in videos):
            yield from (
                f"{kind}/{RESOLUTION}/{video}, which {path.name} lists"
                for video in videos
                for kind in kinds
                if not _holds_something(folder / kind / RESOLUTION / video)
            )


def _missing_of_youtube(folder: Path) -> Iterator[str]:
    if not (folder / FRAMES).is_dir():
        return
    try:
        frames = read_scored_frames(folder / "meta.json")
    except InputError:
        yield "a meta.json that can be read"
        return
    for video, names in (frames or {}).items():
        there = {path.stem for path in (folder / FRAMES / video).glob("*.jpg")}
        yield from (f"{FRAMES}/{video}/{name}.jpg, which meta.json lists" for name in sorted(names - there))
        if (folder / MASKS).is_dir() and not _holds_something(folder / MASKS / video):
            yield f"{MASKS}/{video}, which meta.json lists"


def _masks_without_frames(folder: Path) -> Iterator[str]:
    for masks in (folder / MASKS, folder / MASKS / RESOLUTION):
        frames = folder / FRAMES / masks.relative_to(folder / MASKS)
        if masks.is_dir() and frames.is_dir():
            videos = sorted(video.name for video in masks.iterdir() if video.is_dir() and video.name != RESOLUTION)
            yield from (f"frames of {video}" for video in videos if not (frames / video).is_dir())


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and _count_visible(folder) > 0


def _count_visible(folder: Path) -> int:
    return sum(1 for path in folder.iterdir() if not path.name.startswith("."))
