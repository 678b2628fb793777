"""The sets that people evaluate on beside DAVIS and YouTube-VOS: one entry each, which says all that differs.

Folders and files are patterns below the root, in which {split} is the part of the set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Scoring:
    """Which frames of an object are scored, and what is told of them.

    Attributes:
        skip_first, skip_last: the first and the last annotated frame of a video do not count.
        late: what counts of an object that the first annotated frame lacks: "after", the frames after its first
            annotation; "given", that frame too; "never", none, it is no object.
        adaptive: contours are also compared within `evaluation.metrics.adaptive_bound`.
        measures: names in `evaluation.set_scores.MEASURES`; those of DAVIS where there are none.
        grouped: objects that are seen and unseen in training are averaged apart, and then the two.
    """

    skip_first: bool = True
    skip_last: bool = True
    late: str = "after"
    adaptive: bool = False
    measures: tuple[str, ...] = ()
    grouped: bool = False


DAVIS = Scoring()
YOUTUBE = Scoring(skip_last=False, measures=("J", "F"), grouped=True)
FIRST_OBJECTS = Scoring(late="never", measures=("J&F", "J", "F"))


@dataclass(frozen=True)
class VosSet:
    """A set on the command line of eval_vos.py.

    Attributes:
        title: in messages.
        root: where it lies unless told.
        page: where it comes from.
        videos: how many each part has, where that is published; the first part that is there is the default.
        frames, masks: folders with a folder for each video.
        list_file: names of the videos; "" for all that have masks.
        meta: files that say in which frame each object is first given, of which the first that exists counts.
        unseen: files with the names of the videos of unseen objects, likewise.
        late: objects may come after the first frame.
        objects_apart: each object has a folder of masks of its own, which may overlap, and is segmented by itself.
        sparse: only frames that have masks get results.
        remedy: what to do where it is not there.
        size: most pixels of the shorter side that the network sees.
        scoring: see `Scoring`.
    """

    title: str
    root: Path
    page: str
    videos: Mapping[str, int | None]
    frames: str = "{split}/JPEGImages"
    masks: str = "{split}/Annotations"
    list_file: str = ""
    meta: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    late: bool = False
    objects_apart: bool = False
    sparse: bool = False
    remedy: str = "fetch it"
    size: int = 480
    scoring: Scoring = field(default_factory=Scoring)


LVOS = VosSet(
    "LVOS v1",
    Path("data/LVOS"),
    "https://github.com/LingyiHongfd/LVOS",
    {"valid": 50, "val": 50, "test": 50, "train": 120},
    meta=("{split}/{split}_meta.json", "{split}/valid_meta.json", "{split}/val_meta.json"),
    unseen=("{split}/unseen_videos.txt", "unseen_videos.txt"),
    late=True,
    scoring=Scoring(skip_first=False, skip_last=False, late="given", measures=("J", "F", "V"), grouped=True),
)

SETS: dict[str, VosSet] = {
    "mose": VosSet(
        "MOSE v1",
        Path("data/MOSE"),
        "https://github.com/henghuiding/MOSE-api",
        {"valid": 311, "train": 1507, "test": None},
        scoring=FIRST_OBJECTS,
    ),
    "mose2": VosSet(
        "MOSE v2",
        Path("data/MOSEv2"),
        "https://mose.video",
        {"valid": 433, "train": 3666, "test": 614},
        scoring=Scoring(
            late="never",
            adaptive=True,
            measures=("J&F_dot", "J", "F_dot", "J&F_dot_d", "J&F_dot_r", "F", "J&F"),
        ),
    ),
    "lvos": LVOS,
    "lvos2": replace(
        LVOS,
        title="LVOS v2",
        root=Path("data/LVOSv2"),
        videos={"valid": 140, "val": 140, "test": 160, "train": 420},
    ),
    "long": VosSet(
        "Long-time Video",
        Path("data/long_video_set"),
        "https://github.com/xmlyqing00/AFB-URR",
        {"long_video": 3, "long_video_x3": 3},
        scoring=Scoring(
            skip_last=False, late="never", measures=("J&F", "J", "J-Recall", "F", "F-Recall", "J-Recall_cut")
        ),
    ),
    "vost": VosSet(
        "VOST",
        Path("data/VOST"),
        "https://www.vostdataset.org",
        {"val": 70, "train": 572, "test": 71},
        frames="JPEGImages",
        masks="Annotations",
        list_file="ImageSets/{split}.txt",
        scoring=Scoring(late="never", measures=("J", "J_tr", "J&F", "F")),
    ),
    "burst": VosSet(
        "BURST",
        Path("data/BURST"),
        "https://github.com/Ali2500/BURST-benchmark",
        {"val-vos": 993, "test-vos": 1421},
        meta=("{split}/meta.json",),
        late=True,
        sparse=True,
        remedy="make it by scripts/masks_of_json.py of what comes",
        size=600,
        scoring=Scoring(skip_first=False, skip_last=False, measures=("J&F", "J", "F")),
    ),
    "sav": VosSet(
        "SA-V",
        Path("data/SA-V"),
        "https://ai.meta.com/datasets/segment-anything-video",
        {"sav_val": 155, "sav_test": 150},
        frames="{split}/JPEGImages_24fps",
        masks="{split}/Annotations_6fps",
        list_file="{split}/{split}.txt",
        late=True,
        objects_apart=True,
        sparse=True,
        scoring=Scoring(late="given", measures=("J&F", "J", "F")),
    ),
}
