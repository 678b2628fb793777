"""The data sets that are trained on, one entry each: its option, its files, its stages, its frame skips."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets.train.skip_schedule import Skips, growing_skips, listed_skips
from datasets.train.vos_dataset import VOSDataset, bl30k_train, davis_train, folder_train, youtube_train

MIN_SCALE, BL30K_MIN_SCALE = 0.36, 0.25
NO_ROOT = Path("none")  # leaves a set out
INTERACTIVE = 4  # the stage of train_interactive.py
MEGA = 5  # stage 2 with the sets of today, as "mega" of Cutie (CVPR 2024)


@dataclass(frozen=True)
class VideoClips:
    """How clips are drawn from the videos of a set.

    Attributes:
        open: root, largest skip and keywords of `VOSDataset` -> the set; see `davis_train`.
        skips: network, epochs from one growth to the next (0: the network's list) and first skips of DAVIS and of
            YouTube-VOS -> how far apart frames may lie.
        min_scale: least scale of a view, see `video_views`.
        lists_videos: whether the set comes with a list of its training videos.
    """

    open: Callable[..., VOSDataset]
    skips: Callable[[str, int, tuple[int, int]], Skips]
    min_scale: float = MIN_SCALE
    lists_videos: bool = False


@dataclass(frozen=True)
class TrainingSet:
    """A data set on the command line.

    Attributes:
        name: in tables.
        option: that names its root, without dashes.
        root: where it lies unless told.
        stages: in which it is trained on.
        clips: of its videos; None for a folder of folders of pictures.
        repeats: how often an epoch goes through it.
        list_option: the option that names a file with the videos to use; "" for none.
        help: of its option.
        asked_in: those of its stages that train on it only where its root is given.
    """

    name: str
    option: str
    root: Path
    stages: tuple[int, ...]
    clips: VideoClips | None = None
    repeats: int = 1
    list_option: str = ""
    help: str = ""
    asked_in: tuple[int, ...] = ()

    def root_in(self, stage: int) -> Path:
        """Where the set lies, unless told, when this stage trains."""
        return NO_ROOT if stage in self.asked_in else self.root


def _today(name: str, option: str, root: str, part: str, step: int, remedy: str) -> TrainingSet:
    """A set whose videos lie in `<root>/<part>` and are annotated at every so many frames of the video."""
    open_set = partial(folder_train, name=name, part=part, option=option, remedy=remedy, annotation_step=step)
    text = f"used in stage 2 where it is given, and in stage {MEGA}, for which it is {root} by default"
    return TrainingSet(
        *(name, option, Path(root), (2, MEGA)),
        clips=VideoClips(open_set, youtube_skips),
        help=f"{text}; 'none' leaves {name} out",
        asked_in=(2,),
    )


def bl30k_skips(arch: str, every: int, start: tuple[int, int]) -> Skips:
    """Always those of the network's list."""
    return listed_skips(arch)[0]


def davis_skips(arch: str, every: int, start: tuple[int, int]) -> Skips:
    """The network's list, or growing skips."""
    return growing_skips(every, start)[0] if every else listed_skips(arch)[1]


def youtube_skips(arch: str, every: int, start: tuple[int, int]) -> Skips:
    """The network's list, or growing skips."""
    return growing_skips(every, start)[1] if every else listed_skips(arch)[2]


TRAINING_SETS = (
    TrainingSet("static", "static_root", Path("data/static"), (0, INTERACTIVE)),
    TrainingSet(
        *("DAVIS", "davis_root", Path("data/DAVIS"), (2, 3, INTERACTIVE, MEGA)),
        clips=VideoClips(davis_train, davis_skips, lists_videos=True),
        repeats=5,
        list_option="davis_list",
        help="'none' trains stage 2 without DAVIS",
    ),
    TrainingSet(
        *("YouTube", "yv_root", Path("data/YouTube"), (2, 3, INTERACTIVE, MEGA)),
        clips=VideoClips(youtube_train, youtube_skips),
        list_option="yv_list",
        help="'none' trains stage 2 without YouTube",
    ),
    TrainingSet(
        *("BL30K", "bl_root", Path("data/BL30K"), (1,)),
        clips=VideoClips(bl30k_train, bl30k_skips, BL30K_MIN_SCALE),
    ),
    _today("MOSE", "mose_root", "data/MOSE", "train", 5, "fetch MOSE v1 or v2"),
    _today("OVIS", "ovis_root", "data/OVIS", "train-vos", 3, "make it by scripts/masks_of_json.py"),
    _today("BURST", "burst_root", "data/BURST", "train-vos", 5, "make it by scripts/masks_of_json.py"),
)
