"""From the archives that are published to the folders that training and evaluation read."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.video_list import read_scored_frames
from scripts.download.fetch import fetch
from scripts.download.sources import Download
from scripts.download.unpack import find_holder, unpack
from util.errors import InputError
from util.files import RECORD, is_ours, make_output_folder
from util.text_files import read_text

ARCHIVES = "archives"
FRAMES, MASKS = "JPEGImages", "Annotations"
RESOLUTION = "480p"


@dataclass(frozen=True)
class Options:
    """How parts are obtained.

    Args:
        root: data root.
        mirror: address of the folder that holds the archives; None for where they are published.
        keep_archives: whether archives stay in `<root>/archives`.
    """

    root: Path
    mirror: str | None = None
    keep_archives: bool = False

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Options":
        """The options of `add_download_arguments`."""
        return cls(args.root, args.mirror, args.keep_archives)


def add_download_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all downloads of data sets have in common."""
    add = parser.add_argument
    add("--root", type=Path, default=Path("data"), help="folder of all data sets (default data)")
    add("--mirror", metavar="URL", help="fetch URL/<file name> instead of the published copies")
    add("--keep_archives", action="store_true", help=f"keep the archives in <root>/{ARCHIVES} after unpacking")
    add("--yes", action="store_true", help="accept the licences without being asked")


def accept_licences(pages: Sequence[str], yes: bool) -> None:
    """Show where the licences are and let the user accept them.

    Raises:
        InputError: the user declines, or cannot be asked.
    """
    print("The data sets and their licences; read them before use and cite the authors:")
    print("\n".join(f"  {page}" for page in dict.fromkeys(pages)), flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("the licences above have to be accepted and nobody can be asked here; pass --yes to accept")
    try:
        answer = input("Accept them and download? [y/n] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise InputError("the licences were not accepted, so nothing was downloaded; answer y or pass --yes")


def is_finished(part: Download, root: Path) -> bool:
    """Whether a part is unpacked: a folder of it has something in it, or a merged part has left its mark."""
    if part.merged:
        return _mark(part, root).is_file()
    return any(_holds_something(root / folder) for folder in (part.folder, part.resized) if folder)


def obtain_missing(parts: Mapping[Download, Sequence[str]], options: Options, *, yes: bool) -> None:
    """Fetch and unpack the parts that are missing, after the user has accepted their licences.

    Args:
        parts: the pages of the licences of each part.
        options: how they are obtained.
        yes: whether the user has accepted by option.

    Raises:
        InputError: the user declines, or a part cannot be fetched or unpacked.
    """
    missing = []
    for part in parts:
        if is_finished(part, options.root):
            print(f"{part.name}: there already", flush=True)
        else:
            missing.append(part)
    if missing:
        accept_licences([page for part in missing for page in parts[part]], yes)
    for part in missing:
        obtain(part, options)


def obtain(part: Download, options: Options) -> None:
    """Fetch and unpack a part; then the archive goes, unless the user has put it there.

    Raises:
        InputError: it cannot be fetched or unpacked.
    """
    archive = options.root / ARCHIVES / part.file_name
    fetched = False
    if not _unmerged(part, options.root).is_dir():
        fetched = not archive.is_file()
        print(f"{part.name}: {'fetching' if fetched else 'checking'} {part.file_name}", flush=True)
        fetch(part.remote(options.mirror), archive, unpacks=True)
        print(f"{part.name}: unpacking {part.file_name}", flush=True)
        target = _unmerged(part, options.root) if part.merged else options.root / part.folder
        member = find_holder(archive, part.holds) if part.holds else part.member
        unpack(archive, target, member, missing_videos if part.merged else missing_content)
    if part.merged:
        _merge(part, options.root)
    if not options.keep_archives and archive.is_file():
        _remove_ours(archive, fetched)
    print(f"{part.name}: done, in {options.root / part.folder}", flush=True)


def _remove_ours(archive: Path, fetched: bool) -> None:
    """Remove an archive that was fetched now or, as the record says, by an earlier run."""
    if not fetched and not is_ours(archive):
        print(f"{archive} was not fetched by this command, so it stays; remove it when you like", flush=True)
        return
    archive.unlink()
    if {path.name for path in archive.parent.iterdir()} <= {RECORD}:
        (archive.parent / RECORD).unlink(missing_ok=True)
        archive.parent.rmdir()


def _mark(part: Download, root: Path) -> Path:
    return root / part.folder / f".{Path(part.file_name).stem}.done"


def _unmerged(part: Download, root: Path) -> Path:
    """Where a part is unpacked before it is merged with the others."""
    return root / part.folder / f".{Path(part.file_name).stem}"


def _merge(part: Download, root: Path) -> None:
    """Move the videos of an unpacked part to those of the others; goes on where it was interrupted."""
    unpacked = _unmerged(part, root)
    for kind in (MASKS, FRAMES):
        destination = make_output_folder(root / part.folder / kind)
        for folder in _folders_named(kind, unpacked):
            for video in sorted(folder.iterdir()):
                if (destination / video.name).exists():
                    raise InputError(
                        f"{destination / video.name} exists already and is also in {part.file_name} ({video}); "
                        "remove one of them and run the same command again"
                    )
                os.replace(video, destination / video.name)
    left = sorted(path for path in unpacked.rglob("*") if path.is_file())
    if left:
        print(f"{part.name}: left out {len(left)} files that are no videos, such as {left[0].relative_to(unpacked)}")
    _mark(part, root).touch()
    shutil.rmtree(unpacked)


def _folders_named(name: str, root: Path) -> list[Path]:
    """The folders of a name that lie at most two folders deep, where archives have them.

    Raises:
        InputError: there is none.
    """
    found = [path for pattern in ("", "*/", "*/*/") for path in root.glob(pattern + name) if path.is_dir()]
    if not found:
        raise InputError(
            f"{root} holds no folder {name}; the archive is not the expected one, so move its videos by hand"
        )
    return found


def missing_content(folder: Path) -> str:
    """What is missing from an unpacked data set although it says that it holds it; empty if nothing is.

    Known are the lists of DAVIS in `ImageSets/2017`, the `meta.json` of YouTube-VOS, and that videos of `Annotations`
    have frames. A list of which no video is there belongs to another archive.

    Args:
        folder: with JPEGImages and Annotations; others declare nothing.
    """
    missing = [*_missing_of_davis(folder), *_missing_of_youtube(folder)] or list(_masks_without_frames(folder))
    return f"{missing[0]}{f' (and {len(missing) - 1} other things)' * (len(missing) > 1)}" if missing else ""


def missing_videos(unpacked: Path) -> str:
    """What is missing where folders of frames and of masks do not hold as many of each video; empty if nothing is.

    Args:
        unpacked: the two folders lie in it, or one or two folders deeper.
    """
    for frames in _folders_named(FRAMES, unpacked):
        masks = frames.with_name(MASKS)
        if not masks.is_dir():
            return str(masks.relative_to(unpacked))
        counts = [
            {video.name: _count_visible(video) for video in kind.iterdir() if video.is_dir()}
            for kind in (frames, masks)
        ]
        for video in sorted(counts[0].keys() | counts[1]):
            has_frames, has_masks = (count.get(video, 0) for count in counts)
            if has_frames != has_masks:
                lost = "frames" if has_frames < has_masks else "masks"
                return f"{lost} of video {video}, of which it has {has_frames} frames and {has_masks} masks"
    return ""


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
