"""What the published test commands share: names of test sets, where a configuration's weights and results lie."""

from pathlib import Path

from datasets.boxes.trees import BOX_SETS
from evaluation.boxes.results import LAYOUTS, Layout
from tracking.paths import Paths
from util.errors import InputError
from util.images import natural_key

# Published name of a test set -> its name here.
TEST_SETS = {
    "lasot": "lasot",
    "lasot_extension_subset": "lasot_ext",
    "got10k_test": "got10k_test",
    "got10k_val": "got10k_val",
    "trackingnet": "trackingnet",
    "tnl2k": "tnl2k",
    "otb": "otb",
    "uav": "uav123",
}
NOT_OFFERED = {
    **dict.fromkeys(("nfs", "tc128", "tc128ce", "itb"), "its layout is described nowhere"),
    **dict.fromkeys(("vot18", "vot20", "vot22"), "VOT is run by its own toolkit"),
    "lasot_lmdb": "frames are read from folders; use lasot",
    "got10k_ltrval": "its videos are a part of the training set, of which no list was published for tests",
}
RELEASED = {True: "OSTrack_got10k_100E.pth.tar", False: "OSTrack_alldata_300E.pth.tar"}  # by "got10k" in the name


def kind_of(name: str) -> str:
    """The name here of a test set by its published one.

    Raises:
        InputError: it is not offered.
    """
    if name in NOT_OFFERED:
        raise InputError(f"test set {name} is not offered: {NOT_OFFERED[name]}")
    if name not in TEST_SETS:
        raise InputError(f"there is no test set {name}; choose one of {', '.join(TEST_SETS)}")
    return TEST_SETS[name]


def root_of(paths: Paths, kind: str) -> Path:
    """Where a test set lies below the data."""
    return paths.data_dir / BOX_SETS[kind].name


def layout_of(kind: str) -> Layout:
    """In which layout a test set's results are written."""
    own = {"got10k_test": "ostrack_got10k", "got10k_val": "ostrack_got10k", "trackingnet": "ostrack_trackingnet"}
    return LAYOUTS[own.get(kind, "ostrack")]


def results_of(paths: Paths, tracker: str, config: str, kind: str) -> Path:
    """The folder with <video>.txt of a test set."""
    return (paths.save_dir / layout_of(kind).boxes.format(tracker=tracker, config=config, name="x")).parent


def newest_weights(paths: Paths, config: str) -> Path:
    """The weights of a configuration: the last that were trained in the save folder, else the released ones there.

    Raises:
        InputError: there are none.
    """
    released = paths.save_dir / RELEASED["got10k" in config]
    saved = [
        path for path in paths.save_dir.glob(f"saves/*_{config}/*.pth") if path.stem.rpartition("_")[2].isdecimal()
    ]
    weights = [*saved, *paths.save_dir.glob(f"checkpoints/train/ostrack/{config}/*.pth.tar")]
    if weights:
        return max(weights, key=lambda path: (path.stat().st_mtime, natural_key(path)))
    if not released.is_file():
        raise InputError(
            f"there are no weights of {config} in {paths.save_dir / 'saves'}, and no {released}; train it by "
            "tracking/train.py, or pass --model FILE"
        )
    return released
