"""The training data of each stage (QDMN, ECCV 2022)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch.utils.data import Dataset

from datasets.train.augment import letterboxed_views, video_views
from datasets.train.clip_sampler import SampleRequest
from datasets.train.clips import Sample
from datasets.train.composites import Composites, Source
from datasets.train.frame_sampling import sample_ascending_positions, sample_positions, sample_positions_either_way
from datasets.train.geometry import Size
from datasets.train.sets import INTERACTIVE, NO_ROOT, TRAINING_SETS
from datasets.train.skip_schedule import MIVOS_FAMILY, Skips
from datasets.train.static_dataset import StaticDataset, static_datasets
from datasets.train.vos_dataset import DrawPositions, DrawViews, VOSDataset
from datasets.video_list import read_given_list
from util.errors import InputError

ATTEMPTS = 10


class Samples(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Part:
    """A dataset in the data of a stage.

    Attributes:
        dataset: of pictures or videos.
        repeats: how often an epoch goes through it.
        skips: how far apart the frames of a clip may lie, for videos.
        skip_limit: upper limit on the frame skips, in frames of the video.
    """

    dataset: Samples
    repeats: int = 1
    skips: Skips | None = None
    skip_limit: int | None = None

    def set_skip(self, request: SampleRequest) -> None:
        """Let the frames of later clips lie as far apart as in the request's epoch."""
        if self.skips is not None and isinstance(self.dataset, VOSDataset):
            skip = self.skips.at(request.epoch, request.epochs)
            self.dataset.max_skip = skip if self.skip_limit is None else min(skip, self.skip_limit)


class StageData(Dataset):
    """Several datasets as one, asked by `SampleRequest`; the same request gives the same sample, wherever it is made.

    A sample that cannot be read is replaced by another; what was wrong with it stands in the sample's `rejected`.

    Args:
        parts: the datasets.
        composites: what makes composites on their clips.
        composite_share: share of the samples that are composites, in 0..1.
    """

    def __init__(
        self, parts: list[Part], *, composites: Composites | None = None, composite_share: float = 0.0
    ) -> None:
        self.parts = parts
        self.composites, self.composite_share = composites, composite_share
        self._entries = [
            (part, index) for part in parts for _ in range(part.repeats) for index in range(len(part.dataset))
        ]

    @property
    def stills(self) -> list[StaticDataset]:
        """The sets of pictures among the parts."""
        return [part.dataset for part in self.parts if isinstance(part.dataset, StaticDataset)]

    @property
    def videos(self) -> set[str]:
        """Names of the videos among the parts."""
        sets = [part.dataset for part in self.parts if isinstance(part.dataset, VOSDataset)]
        return {videos.name(index) for videos in sets for index in range(len(videos))}

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
            for part in self.parts:
                part.set_skip(request)
            composites = self.composites
            if composites is not None and torch.rand(()) >= self.composite_share:
                composites = None
            rejected: list[str] = []
            index = request.index
            while True:
                part, position = self._entries[index]
                dataset = part.dataset
                try:
                    if composites is not None and isinstance(dataset, Source):
                        return {**composites.sample(dataset, position), "rejected": rejected}
                    return {**dataset[position], "rejected": rejected}
                except InputError as error:
                    rejected.append(str(error))
                    if len(rejected) == ATTEMPTS:
                        raise
                index = int(torch.randint(len(self), ()))


def stage_data(
    stage: int,
    *,
    lists: Mapping[str, Path | None] | None = None,
    image_size: Size = (384, 384),
    clip_length: int = 3,
    num_objects: int = 2,
    max_skip: int | None = None,
    skip_growth: int = 0,
    skip_start: tuple[int, int] = (5, 3),
    samples_per_video: int = 1,
    soft_masks: bool = False,
    clip_draw: str = "mivos",
    repeat_frames: bool = False,
    augmentation: str = "mivos",
    zoom: float = 1.0,
    render: bool = True,
    composites: float = 0.0,
    composite_stills: bool = False,
    left_out: Collection[str] = (),
    arch: str = "qdmn",
    **roots: Path | None,
) -> StageData:
    """Data of a stage: of the sets of `TRAINING_SETS` those that belong to it.

    Args:
        stage: 0 static pictures, 1 BL30K, 2 and 3 DAVIS five times + YouTube-VOS, `INTERACTIVE` all but BL30K.
        lists: files with the names of the videos to use, by `TrainingSet.list_option`.
        image_size: height and width of the views, in pixels.
        clip_length: frames of a clip.
        num_objects: most objects of a clip of a video, or of a picture whose mask holds several ids.
        max_skip: upper limit on the frame skips, in frames of the video.
        skip_growth: epochs after which the frame skips of stage 2 grow, see `SkipGrowth`; 0 for the lists of `arch`.
        skip_start: first skips of DAVIS and YouTube-VOS if they grow, in annotated frames.
        samples_per_video: how often a video counts, DAVIS five times that.
        soft_masks: see `StaticDataset`.
        clip_draw: `mivos`, `stm_cycle` or `dropseg`, which frames of a video make a clip.
        repeat_frames: the published draw of `mivos`, in which the frames of a clip may coincide.
        augmentation: `mivos` or `stm_cycle`, of the videos.
        zoom: see `camera_zoom`; not for the videos of `stm_cycle`.
        render: see `pack_clip`.
        composites: share of the samples that are composites of a clip and objects cut out of others, see `Composites`.
        composite_stills: cut objects out of the pictures of `static_root` too, in the stages of videos.
        left_out: names of pictures that are not used, such as ecssd/0001.
        arch: the network that is trained: its paper's frame skips are used.
        roots: folders by `TrainingSet.option`, by default `TrainingSet.root_in`; `none` leaves a set out of a stage
            that has several.

    Raises:
        InputError: a folder is missing or holds no data, or the stage is left without any.
    """
    parts: list[Part] = []
    places = {entry.option: roots.get(entry.option) or entry.root_in(stage) for entry in TRAINING_SETS}
    wanted = [entry for entry in TRAINING_SETS if stage in entry.stages]
    for entry in wanted:
        root = places[entry.option]
        if len(wanted) > 1 and str(root) == str(NO_ROOT):
            continue
        if entry.clips is None:
            found = static_datasets(
                root,
                num_objects=num_objects,
                image_size=image_size,
                clip_length=clip_length,
                soft_masks=soft_masks,
                zoom=zoom,
                render=render,
                left_out=left_out,
            )
            parts += [Part(dataset, repeats) for dataset, repeats in found]
            continue
        path = (lists or {}).get(entry.list_option)
        skips = entry.clips.skips(arch, skip_growth, skip_start)
        dataset = entry.clips.open(
            root,
            skips.start,
            **({} if path is None else {"subset": set(read_given_list(path, entry.list_option))}),
            clip_length=clip_length,
            num_objects=num_objects,
            draw_positions=_draw_positions(clip_draw, not repeat_frames, arch),
            draw_views=_draw_views(augmentation, image_size, entry.clips.min_scale, zoom),
            render=render,
        )
        parts.append(Part(dataset, entry.repeats * samples_per_video, skips, max_skip))
    if not parts:
        options = " or ".join(f"--{entry.option}" for entry in wanted)
        raise InputError(f"stage {stage} is left without data; give {options}")
    sources = [part.dataset for part in parts if isinstance(part.dataset, Source)]
    if any(isinstance(source, VOSDataset) for source in sources):
        for source in sources:
            source.num_objects = num_objects  # of pictures one, where none has several ids; batches are of one shape
    if not composites:
        return StageData(parts)
    planes = sources[0].num_objects  # of pictures one, where none has several ids
    if composite_stills and stage not in (0, INTERACTIVE):
        sources += [stills for stills, _ in static_datasets(places["static_root"], num_objects=num_objects)]
    made = Composites(sources, clip_length=clip_length, num_objects=planes, render=render)
    return StageData(parts, composites=made, composite_share=composites)


def _draw_positions(clip_draw: str, distinct: bool, arch: str) -> DrawPositions:
    if clip_draw == "stm_cycle":
        return sample_ascending_positions
    if clip_draw == "dropseg":
        return sample_positions_either_way
    return partial(sample_positions, distinct=distinct, stretch=int(arch in MIVOS_FAMILY))


def _draw_views(augmentation: str, image_size: Size, min_scale: float, zoom: float) -> DrawViews:
    if augmentation == "stm_cycle":
        return partial(letterboxed_views, canvas=image_size)
    return partial(video_views, canvas=image_size, min_scale=min_scale, zoom=zoom)
