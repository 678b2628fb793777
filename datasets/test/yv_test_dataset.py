"""YouTube-VOS valid and test as streams of frames; the trees of 2018 and 2019 have one form.

    <root>/<split>/Annotations/<video>/<frame>.png               masks of the frames in which objects first appear
    <root>/<split>/JPEGImages/<video>/<frame>.jpg                each fifth frame
    <root>/<split>/meta.json                                     frames of each object that the server scores
    <root>/all_frames/<split>_all_frames/JPEGImages/<video>/     all frames

Where all frames have true masks (made videos), these lie in all_frames/<split>_all_frames/Annotations/<video>/. Seen
categories are those of train/meta.json.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from datasets.frame_files import FrameFolder
from datasets.mask_reader import MaskReader, MaskRules
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from datasets.test.mask_frames import By, FrameNames
from datasets.test.sets import YOUTUBE
from datasets.test.sizing import Limit, Sizing
from datasets.video_list import (
    choose_videos,
    read_categories,
    read_object_frames,
    read_scored_frames,
    read_video_list,
)
from util.errors import InputError
from util.images import is_clutter, list_images

SPLITS = ("valid", "test")
FRAMES = ("auto", "all", "fifth")
SHORT_SIDE = 480
PUBLISHED_SIZING = Limit((SHORT_SIDE,))


class YouTubeTestDataset(VideoSet):
    """The videos of YouTube-VOS `valid` or `test`; everything short of the later frames is checked on construction.

    Args:
        root: folder of the tree.
        split: "valid" or "test".
        frames: "all" frames, each "fifth", or "auto", all where they are there.
        output_all: results of all frames are wanted, not only those that the server scores.
        sizing: in which size the network sees the frames. Published: 480 pixels on the shorter side.
        list_file: names of the videos, one on each line, by default all that have masks.
        only: of these.

    Raises:
        InputError: a folder is missing, or a video cannot be used (see `AnnotatedVideo.open`).
    """

    archive_folder = "Annotations"

    def __init__(
        self,
        root: Path,
        split: str = "valid",
        *,
        frames: str = "auto",
        output_all: bool = False,
        sizing: Sizing = PUBLISHED_SIZING,
        list_file: Path | None = None,
        only: Sequence[str] = (),
    ) -> None:
        self.split = split
        self.merged = False
        every = root / f"all_frames/{split}_all_frames"
        fifth, masks = root / split / "JPEGImages", root / split / "Annotations"
        use_all = frames == "all" or (frames == "auto" and (every / "JPEGImages").is_dir())
        self.frames_folder = every / "JPEGImages" if use_all else fifth
        for folder in (root, masks, self.frames_folder):
            if not folder.is_dir():
                raise InputError(f"YouTube-VOS folder {folder} does not exist; see youtube-vos.org, or pass --yv PATH")
        self.inputs = (self.frames_folder, masks)
        self.truth = every / "Annotations"
        there = sorted(path.name for path in masks.iterdir() if path.is_dir() and not is_clutter(path.name))
        names = choose_videos(read_video_list(list_file) if list_file else there, only, list_file or masks)
        self._meta = root / split / "meta.json"
        self._scored = None if output_all else read_scored_frames(self._meta)
        self._fifth = None if output_all else fifth
        self._remarks: dict[str, list[str]] = defaultdict(list)
        if self._scored and list_file is None and not only:
            self._remarks[f"{self._meta} lists videos that have no masks"] = sorted(self._scored.keys() - set(there))
        self.videos = [self._open(name, masks, sizing) for name in names]
        self._tell_seen(root)

    def is_unseen(self, video: str, object_id: int) -> bool | None:
        """Whether no object of this one's category is trained on; None where the files do not tell."""
        category = self._categories.get(video, {}).get(object_id)
        return None if category is None else category not in self._trained

    def _tell_seen(self, root: Path) -> None:
        """Score seen and unseen categories apart, where there is truth and the files of both parts tell categories."""
        self._categories: dict[str, dict[int, str]] = {}
        self._trained: set[str] = set()
        trained = [path for path in (root / "train/meta.json", root / "train_480p/meta.json") if path.is_file()]
        if not trained or self._scored is None or not all(video.has_truth for video in self.videos):
            return
        self._trained = {kind for video in read_categories(trained[0]).values() for kind in video.values()}
        self._categories, self.scoring = read_categories(self._meta), YOUTUBE
        told = read_object_frames(self._meta)
        self.object_frames = {name: {k: frames.names for k, frames in things.items()} for name, things in told.items()}

    def _wanted(self, name: str, names: FrameNames) -> frozenset[str] | None:
        """The frames of a video whose results are wanted; None for all of these names.

        Raises:
            InputError: none of those that are to be scored is there.
        """
        if self._fifth is None:
            return None
        if self._scored is not None and self._scored.get(name):
            return self._find(name, self._scored[name], names, self._meta)
        if self._scored is not None:
            self._remarks[f"{self._meta} names no frames of videos, of which each fifth is written"].append(name)
        folder = self._fifth / name
        if not folder.is_dir():
            return None
        return self._find(name, {path.stem for path in list_images(folder)}, names, self._fifth)

    def _find(self, video: str, wanted: set[str], names: FrameNames, origin: Path) -> frozenset[str]:
        """The frames that these names or numbers, which are from `origin`, mean."""
        found, lost = set(), []
        for frame in sorted(wanted):
            match = names.find(frame)
            if match.by not in (By.NAME, By.NUMBER) or len(match.positions) != 1:
                lost.append(frame)
                continue
            found.add(names.names[match.positions[0]])
            if match.by is By.NUMBER:
                meant = f"{frame} of {video} for {names.names[match.positions[0]]}"
                self._remarks[f"{origin} names frames by number"].append(meant)
        if not found:
            which = f"frame {lost[0]}" if lost else "no frame"
            raise InputError(
                f"{origin} names {which} of video {video}, but {self.frames_folder / video} has {names}; check both"
            )
        unknown = self._remarks[f"{origin} names frames that are not in {self.frames_folder}"]
        unknown.extend(f"{frame} of {video}" for frame in lost)
        return frozenset(found)

    def _open(self, name: str, masks: Path, sizing: Sizing) -> AnnotatedVideo:
        source = FrameFolder(self.frames_folder / name)
        names = FrameNames(source.names)
        files = {path.stem: path for path in list_images(masks / name)}
        strays = [path for stem, path in files.items() if not names.find(stem).positions]
        if strays:
            raise InputError(f"mask {strays[0]} has no frame in {self.frames_folder / name}; use --frames all")
        places = names.of_masks(files)
        found = {position: files[stem] for stem, (position, _) in places.items()}
        said = {files[stem]: remark for stem, (_, remark) in places.items()}
        reader = MaskReader(MaskRules(void_beside_ids=True, can_be_asked=False))
        truth = self.truth / name
        return AnnotatedVideo.open(
            name,
            source,
            found,
            reader.read,
            remarks=lambda path: [*filter(None, [said[path]]), *reader.remarks(path)],
            sizing=sizing,
            wanted=self._wanted(name, names),
            has_truth=truth.is_dir() and len(list_images(truth)) > 1,
        )

    def lines_on_masks(self, videos: Sequence[AnnotatedVideo]) -> list[str]:
        """What is odd about the frames that are to be scored, and then a line for each mask of these of the videos."""
        odd = [
            f"{what}: {cases[0]}{f' (and {len(cases) - 1} more)' * (len(cases) > 1)}"
            for what, cases in self._remarks.items()
            if cases
        ]
        return odd + super().lines_on_masks(videos)
