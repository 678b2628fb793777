"""The videos of a set of `datasets.test.sets`: their frames, the masks that are given of them, what is to be scored."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from datasets.frame_files import FrameFolder
from datasets.mask_files import read_foreground
from datasets.mask_reader import MaskReader, MaskRules
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from datasets.test.mask_frames import FrameNames
from datasets.test.sets import SETS, VosSet
from datasets.test.sizing import FULL_SIZE, Sizing
from datasets.video_list import ObjectFrames, choose_videos, read_object_frames, read_video_list
from util.errors import InputError
from util.images import is_clutter, list_images

logger = logging.getLogger(__name__)


class SetDataset(VideoSet):
    """A part of a set; everything short of the later frames is checked on construction.

    Args:
        entry: the set.
        root: where it lies.
        split: part of it; by default the first that is there.
        truth: folder of masks of all frames, where those of the set are only what is given.
        output_all: frames without masks get results too, also where the set asks for none.
        sizing: in which size the network sees the frames.
        list_file: names of the videos, one on each line, by default the set's own.
        only: of these.

    Attributes:
        entry: the set.
        remarks: what is to be said of the set as a whole.

    Raises:
        InputError: a folder or a file is missing or of another set, or a video cannot be used.
    """

    def __init__(
        self,
        entry: VosSet,
        root: Path,
        split: str | None = None,
        *,
        truth: Path | None = None,
        output_all: bool = False,
        sizing: Sizing = FULL_SIZE,
        list_file: Path | None = None,
        only: Sequence[str] = (),
    ) -> None:
        self.entry, self.root, self.scoring = entry, root, entry.scoring
        self.split = split or next((part for part in entry.videos if self._folder(entry, part).is_dir()), "")
        self.merged = entry.objects_apart
        self._require_layout()
        self.frames_folder, self.masks_folder = self._path(entry.frames), self._path(entry.masks)
        if truth is not None and not truth.is_dir():
            raise InputError(f"folder of true masks {truth} does not exist; check --truth")
        self.truth = truth or self.masks_folder
        self.inputs = (self.frames_folder, self.masks_folder, self.truth)
        meta = self._first_file(entry.meta)
        self._objects = None if meta is None else read_object_frames(meta)
        self._meta = meta
        if entry.meta and meta is None:
            told = entry.meta[0].format(split=self.split)
            logger.warning("%s: %s is missing, so all masks are read to see where objects begin", entry.title, told)
        unseen = self._first_file(entry.unseen)
        self._unseen = None if unseen is None else frozenset(read_video_list(unseen))
        names = self._video_names(list_file, only)
        self.remarks = self._check_count(names) if list_file is None and not only else []
        self.videos = [video for name in names for video in self._open(name, sizing, output_all)]
        spans = {video.name: self._spans(video.name) for video in self.videos if self._objects and video.has_truth}
        self.object_frames = spans if any(spans.values()) else None

    def lines_on_masks(self, videos: Sequence[AnnotatedVideo]) -> list[str]:
        """What is odd about the set, and then a line for each mask of these of the videos."""
        return self.remarks + super().lines_on_masks(videos)

    def is_unseen(self, video: str, object_id: int) -> bool | None:
        """Whether training shows no object of the kind of this one; None where the set's list of them is missing."""
        return None if self._unseen is None else video in self._unseen

    def _path(self, pattern: str) -> Path:
        return self.root / pattern.format(split=self.split)

    def _folder(self, entry: VosSet, split: str) -> Path:
        return self.root / entry.frames.format(split=split)

    def _first_file(self, patterns: Iterable[str]) -> Path | None:
        return next((path for path in map(self._path, patterns) if path.is_file()), None)

    def _error(self, problem: str, remedy: str = "fetch it again") -> InputError:
        """An error that names the set, and where it comes from."""
        return InputError(f"{self.entry.title}: {problem}; {remedy} from {self.entry.page}")

    def _require_layout(self) -> None:
        """Raise InputError where the folders are not those of the set; say which set's they are if that shows."""
        entry = self.entry
        if not self.root.is_dir():
            raise self._error(f"root {self.root} does not exist", "pass --root PATH, or fetch it")
        part = self.split or next(iter(entry.videos))
        paths = [self.root / pattern.format(split=part) for pattern in _patterns(entry)]
        missing = [path for path in paths if not path.exists()]
        if not missing:
            return
        like = [name for name, other in SETS.items() if other is not entry and self._is_laid_out_as(other)]
        hint = f"it is laid out as {SETS[like[0]].title}, so pass --set {like[0]}, or " if like else ""
        raise self._error(f"{self.root} has no {missing[0].relative_to(self.root)}", hint + entry.remedy)

    def _is_laid_out_as(self, entry: VosSet) -> bool:
        return any(
            all((self.root / pattern.format(split=part)).exists() for pattern in _patterns(entry))
            for part in entry.videos
        )

    def _video_names(self, list_file: Path | None, only: Sequence[str]) -> list[str]:
        """The videos, each of which has frames and masks."""
        folders = {"frames": self.frames_folder, "masks": self.masks_folder}
        there = {kind: _folders_in(folder) for kind, folder in folders.items()}
        origin = list_file or (self._path(self.entry.list_file) if self.entry.list_file else self.masks_folder)
        if list_file is not None and not list_file.is_file():
            raise InputError(f"list of videos {list_file} does not exist; check --list")
        listed = sorted(set().union(*there.values())) if origin == self.masks_folder else read_video_list(origin)
        names = choose_videos(listed, only, origin)
        for kind, folder in folders.items():
            if lost := [name for name in names if name not in there[kind]]:
                more = f" (and {len(lost) - 1} more)" * (len(lost) > 1)
                problem = f"video {lost[0]}{more} of {origin} has no {kind} in {folder}"
                raise self._error(problem, "name the videos that are there by --list FILE, or fetch the rest")
        return names

    def _check_count(self, names: Sequence[str]) -> list[str]:
        """A line where the set is not whole.

        Raises:
            InputError: there are as many videos as another version has.
        """
        wanted, count = self.entry.videos.get(self.split), len(names)
        if wanted is None or count == wanted:
            return []
        for key, other in SETS.items():
            if _patterns(other) == _patterns(self.entry) and other.videos.get(self.split) == count:
                problem = f"it has {wanted} {self.split} videos, but {self.root} has the {count} of {other.title}"
                raise self._error(problem, f"pass --set {key}, or another --root, or fetch it")
        return [
            f"{self.entry.title}: {count} of its {wanted} {self.split} videos are here, and scores will be theirs; the"
            f" rest is at {self.entry.page}"
        ]

    def _open(self, name: str, sizing: Sizing, output_all: bool) -> list[AnnotatedVideo]:
        """The video, or where objects lie apart one for each of them."""
        folder = self.masks_folder / name
        if not self.entry.objects_apart:
            return [self._open_one(name, name, sizing, output_all)]
        parts = sorted(_folders_in(folder))
        if not parts:
            raise self._error(f"{folder} has no folder of masks for each object", "check --set, or fetch it again")
        return [self._open_one(f"{name}/{part}", name, sizing, output_all) for part in parts]

    def _open_one(self, name: str, frames: str, sizing: Sizing, output_all: bool) -> AnnotatedVideo:
        source, folder = FrameFolder(self.frames_folder / frames), self.masks_folder / name
        files = {path.stem: path for path in list_images(folder) if path.suffix.lower() == ".png"}
        known = {stem: position for position, stem in enumerate(source.names)}
        if strays := [path for stem, path in files.items() if stem not in known]:
            more = f" (and {len(strays) - 1} more)" * (len(strays) > 1)
            raise self._error(f"mask {strays[0]}{more} has no frame in {source.origin}", "fetch the frames again")
        masks = MaskReader(MaskRules(void_beside_ids=True, can_be_asked=False))
        begins = self._begins(name, source, files, masks)
        stems = dict.fromkeys(begins.values())
        truth = self.truth / name
        video = AnnotatedVideo.open(
            name,
            source,
            {known[stem]: files[stem] for stem in stems},
            _read_one if self.entry.objects_apart else partial(_read_new, masks, begins),
            remarks=masks.remarks,
            sizing=sizing,
            wanted=frozenset(files) if self.entry.sparse and not output_all else None,
            has_truth=truth.is_dir() and len(list_images(truth)) > 1,
        )
        return replace(video, padded=True)

    def _begins(self, name: str, source: FrameFolder, files: Mapping[str, Path], masks: MaskReader) -> dict[int, str]:
        """The frame in which each object is first given.

        Raises:
            InputError: no mask shows one, or not the one that should.
        """
        if self.entry.objects_apart:
            shown = next((stem for stem, path in files.items() if _read_one(path).any()), None)
            begins = {} if shown is None else {1: shown}
        elif not self.entry.late:
            first = source.names[0]
            if first not in files:
                begin = min(files, default="none")
                problem = f"masks of video {name} begin late, with {begin} instead of its first frame {first}"
                raise self._error(problem, "segment it by eval_generic.py, or fetch its masks again")
            begins = dict.fromkeys(_objects_in(masks, files[first]), first)
        elif told := (self._objects or {}).get(name):
            begins = self._told(name, source, files, told, masks)
        else:
            begins = {k: stem for stem, path in reversed([*files.items()]) for k in _objects_in(masks, path)}
        if not begins:
            raise self._error(f"no mask in {self.masks_folder / name} that is given shows an object")
        return begins

    def _told(
        self,
        name: str,
        source: FrameFolder,
        files: Mapping[str, Path],
        told: Mapping[int, ObjectFrames],
        masks: MaskReader,
    ) -> dict[int, str]:
        """The frames with which the objects begin, as the meta file says."""
        names, begins = FrameNames(source.names), {}
        for k, frames in told.items():
            match = names.find(frames.first)
            stem = source.names[match.positions[0]] if len(match.positions) == 1 else frames.first
            if stem not in files or k not in _objects_in(masks, files[stem]):
                problem = f"{self._meta} begins object {k} of video {name} with frame {frames.first}"
                raise self._error(f"{problem}, but no mask there shows it", "fetch both of one version")
            begins[k] = stem
        return begins

    def _spans(self, name: str) -> dict[int, frozenset[str]]:
        """For each object the annotated frames from its first to its last one; empty where they are not told."""
        told = (self._objects or {}).get(name, {})
        stems = [path.stem for path in list_images(self.truth / name) if path.stem.isdecimal()]
        return {
            k: frozenset([s for s in stems if int(frames.first) <= int(s) <= frames.last][: frames.count])
            for k, frames in told.items()
            if frames.last is not None
        }


def _read_new(masks: MaskReader, begins: Mapping[int, str], path: Path) -> np.ndarray:
    """The ids (H, W) of the objects that begin with this mask, 0 elsewhere."""
    ids = masks.read(path)
    return np.where(np.isin(ids, [k for k, stem in begins.items() if stem == path.stem]), ids, 0)


def _objects_in(masks: MaskReader, path: Path) -> list[int]:
    return [k for k in np.unique(masks.read(path)).tolist() if k]


def _patterns(entry: VosSet) -> list[str]:
    """What a set must have: folders of frames and masks, and its list."""
    return [entry.frames, entry.masks, *filter(None, [entry.list_file])]


def _folders_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and not is_clutter(path.name)}


def _read_one(path: Path) -> np.ndarray:
    """The mask of a single object, (H, W) uint8 in {0, 1}."""
    return read_foreground(path)[0]
