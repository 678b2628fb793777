"""YouTube-VOS valid and test as streams of frames; the trees of 2018 and 2019 have one form.

    <root>/<split>/Annotations/<video>/<frame>.png               masks of the frames in which objects first appear
    <root>/<split>/JPEGImages/<video>/<frame>.jpg                each fifth frame
    <root>/<split>/meta.json                                     frames of each object that the server scores
    <root>/all_frames/<split>_all_frames/JPEGImages/<video>/     all frames

Where all frames have true masks (made videos), these lie in all_frames/<split>_all_frames/Annotations/<video>/.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from datasets.annotated_video import AnnotatedVideo
from datasets.frame_sources import FrameFolder
from datasets.mask_files import MaskReader, MaskRules
from datasets.mask_frames import FrameNames
from datasets.mask_notes import note_lines
from datasets.sizing import Limit, Sizing
from datasets.video_list import choose_videos, read_video_list
from util.errors import InputError
from util.images import is_clutter, list_images
from util.video import Video

MOST_DIGITS = 10  # of a frame's number
SPLITS = ("valid", "test")
FRAMES = ("auto", "all", "fifth")
SHORT_SIDE = 480
PUBLISHED_SIZING = Limit((SHORT_SIDE,))


class YouTubeTestDataset:
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
        names = (
            sorted(path.name for path in masks.iterdir() if path.is_dir() and not is_clutter(path.name))
            if list_file is None
            else None
        )
        names = choose_videos(read_video_list(list_file) if names is None else names, only, list_file or masks)
        self._meta = root / split / "meta.json"
        self._scored = {} if output_all else read_scored_frames(self._meta)
        self._fifth = None if output_all else fifth
        self.videos = [self._open(name, masks, sizing) for name in names]

    def _wanted(self, name: str, names: Sequence[str]) -> frozenset[str] | None:
        """The frames of a video whose results are wanted; None for all of these names."""
        if self._fifth is None:
            return None
        if self._scored.get(name):
            return scored_names(self._scored[name], names, name, self._meta)
        folder = self._fifth / name
        wanted = frozenset(path.stem for path in list_images(folder)) if folder.is_dir() else None
        if wanted is not None and not wanted & set(names):
            raise InputError(f"no frame of {folder} is in {self.frames_folder / name}; check their names")
        return wanted

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
            wanted=self._wanted(name, source.names),
            has_truth=truth.is_dir() and len(list_images(truth)) > 1,
        )

    def lines_on_masks(self, videos: Sequence[Video]) -> list[str]:
        """See `NotedMasks`."""
        names = {video.name for video in videos}
        return note_lines([note for video in self.videos if video.name in names for note in video.notes])

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[AnnotatedVideo]:
        return iter(self.videos)


def read_scored_frames(path: Path) -> dict[str, set[str]]:
    """For each video of a meta.json the names of the frames in which an object is scored; empty without the file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        videos = json.loads(path.read_text(encoding="utf-8-sig"))["videos"]
        return {
            name: {_frame_name(frame) for thing in video["objects"].values() for frame in thing["frames"]}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not a meta.json of YouTube-VOS ({error!r:.200}); fetch it again") from error


def _frame_name(frame: object) -> str:
    """What a meta.json calls a frame: its name, with or without the ending of its file, or its number."""
    if isinstance(frame, bool) or not isinstance(frame, str | int):
        raise TypeError(f"{frame!r:.50} is no name of a frame")
    return str(frame).removesuffix(".jpg").removesuffix(".png")


def scored_names(wanted: Collection[str], names: Sequence[str], video: str, path: Path) -> frozenset[str]:
    """The frames of a video that a meta.json means: of these names, else of these numbers.

    Raises:
        InputError: a frame that is to be scored is not there.
    """
    numbers: dict[int, list[str]] = {}
    for name in names:
        if name.isascii() and name.isdigit():
            numbers.setdefault(int(name), []).append(name)
    found, lost = set(), []
    for frame in sorted(wanted):
        is_number = frame.isascii() and frame.isdigit() and len(frame) < MOST_DIGITS
        by_number = numbers.get(int(frame), []) if is_number else []
        if frame in names:
            found.add(frame)
        elif len(by_number) == 1:
            found.add(by_number[0])
        else:
            lost.append(frame)
    if lost or not found:
        which = f"frame {lost[0]}" if lost else "no frame"
        raise InputError(
            f"{path} wants {which} of video {video}, which has {len(names)} frames from {names[0]} on; fetch it again"
        )
    return frozenset(found)
