"""The training data of each stage (QDMN, ECCV 2022)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset

from datasets.clip_sampler import SampleRequest
from datasets.clips import Sample
from datasets.skip_schedule import (
    MIVOS_FAMILY,
    MIVOS_STAGE1_SKIPS,
    MIVOS_STAGE2_SKIPS,
    STAGE1_SKIPS,
    STAGE2_DAVIS_SKIPS,
    STAGE2_YOUTUBE_SKIPS,
    SkipSchedule,
)
from datasets.static_dataset import StaticDataset, static_datasets
from datasets.video_list import read_video_list
from datasets.vos_dataset import VOSDataset, bl30k_train, davis_train, youtube_train
from util.errors import InputError

DAVIS_REPEATS = 5
ATTEMPTS = 10


@dataclass(frozen=True)
class Part:
    """A dataset in the data of a stage.

    Attributes:
        dataset: of pictures or videos.
        repeats: how often an epoch goes through it.
        skips: first arguments of `SkipSchedule`, for videos.
        skip_limit: upper limit on the frame skips, in frames of the video.
    """

    dataset: StaticDataset | VOSDataset
    repeats: int = 1
    skips: tuple | None = None
    skip_limit: int | None = None

    def sample(self, index: int, request: SampleRequest) -> Sample:
        """A sample with the frame skips of the request's epoch."""
        if self.skips is not None:
            skip = SkipSchedule(*self.skips, request.epochs).at(request.epoch)
            self.dataset.max_skip = skip if self.skip_limit is None else min(skip, self.skip_limit)
        return self.dataset[index]


class StageData(Dataset):
    """Several datasets as one, asked by `SampleRequest`; the same request gives the same sample, wherever it is made.

    A sample that cannot be read is replaced by another; what was wrong with it stands in the sample's `rejected`.
    """

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self._entries = [
            (part, index) for part in parts for _ in range(part.repeats) for index in range(len(part.dataset))
        ]

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self._entries)

    def __getitem__(self, request: SampleRequest) -> Sample:
        """The sample of a request; see `pack_clip`.

        Raises:
            InputError: ten files in a row cannot be read.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(request.seed)
            rejected = []
            index = request.index
            while True:
                part, position = self._entries[index]
                try:
                    return {**part.sample(position, request), "rejected": rejected}
                except InputError as error:
                    rejected.append(str(error))
                    if len(rejected) == ATTEMPTS:
                        raise
                index = int(torch.randint(len(self), ()))


def stage_data(
    stage: int,
    *,
    static_root: Path,
    bl_root: Path,
    davis_root: Path,
    yv_root: Path,
    yv_list: Path | None = None,
    image_size: int = 384,
    clip_length: int = 3,
    num_objects: int = 2,
    max_skip: int | None = None,
    soft_masks: bool = False,
    repeat_frames: bool = False,
    render: bool = True,
    arch: str = "qdmn",
) -> StageData:
    """Data of a stage.

    Args:
        stage: 0 static pictures, 1 BL30K, 2 and 3 DAVIS five times + YouTube-VOS.
        static_root, bl_root, davis_root, yv_root: folders; `none` leaves DAVIS or YouTube-VOS out of stage 2.
        yv_list: file with the names of the YouTube videos to use.
        image_size: side of the crops, in pixels.
        clip_length: frames of a clip.
        num_objects: most objects of a clip in stages 1 and 2.
        max_skip: upper limit on the frame skips, in frames of the video.
        soft_masks: see `StaticDataset`.
        repeat_frames: the published draw, in which the frames of a clip may coincide.
        render: see `pack_clip`.
        arch: the network that is trained: its paper's frame skips are used.

    Raises:
        InputError: a folder is missing or holds no data.
    """
    common = {"image_size": image_size, "clip_length": clip_length, "render": render}
    if stage == 0:
        return StageData([Part(*found) for found in static_datasets(static_root, soft_masks=soft_masks, **common)])
    options = {"num_objects": num_objects, "distinct_frames": not repeat_frames, **common}
    bl30k_skips, davis_skips, youtube_skips = STAGE1_SKIPS, STAGE2_DAVIS_SKIPS, STAGE2_YOUTUBE_SKIPS
    if arch in MIVOS_FAMILY:
        bl30k_skips, davis_skips, youtube_skips = MIVOS_STAGE1_SKIPS, MIVOS_STAGE2_SKIPS, MIVOS_STAGE2_SKIPS
        options["stretch"] = 1
    if stage == 1:
        return StageData([Part(bl30k_train(bl_root, bl30k_skips[0], **options), 1, bl30k_skips, max_skip)])
    parts = []
    if str(davis_root) != "none":
        davis = davis_train(davis_root, davis_skips[0], **options)
        parts.append(Part(davis, DAVIS_REPEATS, davis_skips, max_skip))
    if str(yv_root) != "none":
        youtube = youtube_train(yv_root, youtube_skips[0], yv_list and _read_list(yv_list), **options)
        parts.append(Part(youtube, 1, youtube_skips, max_skip))
    if not parts:
        raise InputError(f"stage {stage} is left without data; give --davis_root or --yv_root")
    return StageData(parts)


def _read_list(path: Path) -> set[str]:
    if not path.is_file():
        raise InputError(f"list of videos {path} does not exist; check --yv_list")
    return set(read_video_list(path))
