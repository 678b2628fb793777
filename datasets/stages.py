"""The training data of each stage (QDMN, ECCV 2022)."""

from collections.abc import Callable
from pathlib import Path

from torch.utils.data import ConcatDataset, Dataset

from datasets.skip_schedule import STAGE1_SKIPS, STAGE2_DAVIS_SKIPS, STAGE2_YOUTUBE_SKIPS, SkipSchedule
from datasets.static_dataset import static_datasets
from datasets.video_list import read_video_list
from datasets.vos_dataset import VOSDataset, bl30k_train, davis_train, youtube_train
from util.errors import InputError

DAVIS_REPEATS = 5
EpochStart = Callable[[int, int], None]


def stage_data(
    stage: int,
    *,
    static_root: Path,
    bl_root: Path,
    davis_root: Path,
    yv_root: Path,
    yv_list: Path | None = None,
    image_size: int = 384,
    num_objects: int = 2,
    max_skip: int | None = None,
    soft_masks: bool = False,
    repeat_frames: bool = False,
) -> tuple[Dataset, EpochStart]:
    """Dataset of a stage, and what to call at the start of an epoch.

    Args:
        stage: 0 static pictures, 1 BL30K, 2 DAVIS five times + YouTube-VOS.
        static_root, bl_root, davis_root, yv_root: folders; `none` leaves DAVIS or YouTube-VOS out of stage 2.
        yv_list: file with the names of the YouTube videos to use.
        image_size: side of the crops, in pixels.
        num_objects: most objects of a clip in stages 1 and 2.
        max_skip: upper limit on the frame skips, in frames of the video.
        soft_masks: see `StaticDataset`.
        repeat_frames: the published draw, in which the frames of a clip may coincide.

    Returns:
        The dataset, and a function of (epoch, total epochs) that sets the largest frame skips.

    Raises:
        InputError: a folder is missing or holds no data.
    """
    if stage == 0:
        return static_datasets(static_root, image_size=image_size, soft_masks=soft_masks), lambda epoch, total: None
    options = {"image_size": image_size, "num_objects": num_objects, "distinct_frames": not repeat_frames}
    parts: list[tuple[VOSDataset, tuple, int]] = []
    if stage == 1:
        parts.append((bl30k_train(bl_root, STAGE1_SKIPS[0], **options), STAGE1_SKIPS, 1))
    if stage == 2 and str(davis_root) != "none":
        davis = davis_train(davis_root, STAGE2_DAVIS_SKIPS[0], **options)
        parts.append((davis, STAGE2_DAVIS_SKIPS, DAVIS_REPEATS))
    if stage == 2 and str(yv_root) != "none":
        subset = None if yv_list is None else _read_list(yv_list)
        youtube = youtube_train(yv_root, STAGE2_YOUTUBE_SKIPS[0], subset, **options)
        parts.append((youtube, STAGE2_YOUTUBE_SKIPS, 1))
    if not parts:
        raise InputError("stage 2 is left without data; give --davis_root or --yv_root")

    def start_epoch(epoch: int, total: int) -> None:
        for dataset, skips, _ in parts:
            skip = SkipSchedule(*skips, total).at(epoch)
            dataset.set_max_skip(skip if max_skip is None else min(skip, max_skip))

    return ConcatDataset([dataset for dataset, _, repeats in parts for _ in range(repeats)]), start_epoch


def _read_list(path: Path) -> set[str]:
    if not path.is_file():
        raise InputError(f"list of videos {path} does not exist; check --yv_list")
    return set(read_video_list(path))
