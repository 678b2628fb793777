"""From an archive of the table to its folder under the data root."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.download.archive_content import FRAMES, MASKS, missing_content, missing_pairs
from scripts.download.extract import extract
from scripts.download.fetch import fetch
from scripts.download.table import Download
from util.errors import InputError
from util.files import RECORD, is_ours, make_output_folder

ARCHIVES = "archives"
MERGED_FOLDERS = (MASKS, FRAMES)


@dataclass(frozen=True)
class Options:
    """How parts are obtained.

    Args:
        root: data root.
        mirror: address of the folder that holds the archives; None for Google Drive.
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
    add("--mirror", metavar="URL", help="fetch URL/<file name> instead of the copies on Google Drive")
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
    """Whether a part is unpacked: its folder has something in it, or a merged part has left its mark."""
    if part.merged:
        return _mark(part, root).is_file()
    folder = root / part.folder
    return folder.is_dir() and any(folder.iterdir())


def obtain_missing(
    parts: Mapping[Download, Sequence[str]],
    options: Options,
    *,
    yes: bool,
    is_done: Callable[[Download, Path], bool] = is_finished,
) -> None:
    """Fetch and unpack the parts that are missing, after the user has accepted their licences.

    Args:
        parts: the pages of the licences of each part.
        options: see `Options`.
        yes: whether the user has accepted by option.
        is_done: whether a part under a data root is there.

    Raises:
        InputError: see `accept_licences`, `fetch` and `extract`.
    """
    missing = []
    for part in parts:
        if is_done(part, options.root):
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
        InputError: see `fetch` and `extract`.
    """
    archive = options.root / ARCHIVES / part.file_name
    fetched = False
    if not _unmerged(part, options.root).is_dir():
        fetched = not archive.is_file()
        print(f"{part.name}: {'fetching' if fetched else 'checking'} {part.file_name}", flush=True)
        fetch(part.remote(options.mirror), archive, unpacks=True)
        print(f"{part.name}: unpacking {part.file_name}", flush=True)
        target = _unmerged(part, options.root) if part.merged else options.root / part.folder
        extract(archive, target, part.member, _missing_of_videos if part.merged else missing_content)
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


def _missing_of_videos(unpacked: Path) -> str:
    pairs = [(frames, frames.with_name(MASKS)) for frames in _folders_named(FRAMES, unpacked)]
    missing = [str(masks.relative_to(unpacked)) for _, masks in pairs if not masks.is_dir()]
    return next(filter(None, missing or [missing_pairs(*pair) for pair in pairs]), "")


def _mark(part: Download, root: Path) -> Path:
    return root / part.folder / f".{Path(part.file_name).stem}.done"


def _unmerged(part: Download, root: Path) -> Path:
    """Where a part is unpacked before it is merged with the others."""
    return root / part.folder / f".{Path(part.file_name).stem}"


def _merge(part: Download, root: Path) -> None:
    """Move the videos of an unpacked part to those of the others; goes on where it was interrupted."""
    unpacked = _unmerged(part, root)
    for kind in MERGED_FOLDERS:
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
