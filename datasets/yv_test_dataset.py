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
        scored = {} if output_all else read_scored_frames(root / split / "meta.json")
        self.videos = [
            self._open(name, masks, sizing, None if output_all else scored.get(name) or _stems(fifth / name))
            for name in names
        ]

    def _open(self, name: str, masks: Path, sizing: Sizing, wanted: Collection[str] | None) -> AnnotatedVideo:
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
            wanted=None if wanted is None else frozenset(wanted),
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
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {
            name: {str(frame) for thing in video["objects"].values() for frame in thing["frames"]}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a meta.json of YouTube-VOS ({error!r}); fetch it again") from error


def _stems(folder: Path) -> set[str] | None:
    return {path.stem for path in list_images(folder)} if folder.is_dir() else None
