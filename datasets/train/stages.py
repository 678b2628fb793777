"""The training data of each stage (QDMN, ECCV 2022)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from datasets.train.augment import letterboxed_views, video_views
from datasets.train.clip_sampler import RequestedSamples, SampleRequest
from datasets.train.clips import Sample
from datasets.train.composites import Composites, Source
from datasets.train.frame_sampling import sample_ascending_positions, sample_positions, sample_positions_either_way
from datasets.train.geometry import Size
from datasets.train.sets import INTERACTIVE, NO_ROOT, TRAINING_SETS, TrainingSet, VideoClips
from datasets.train.skip_schedule import MIVOS_FAMILY, Skips
from datasets.train.static_dataset import StaticDataset, static_datasets
from datasets.train.vos_dataset import DrawPositions, DrawViews, VOSDataset
from datasets.video_list import read_given_list
from util.errors import InputError

ATTEMPTS = 10


@dataclass(frozen=True)
class ClipOptions:
    """How samples are drawn from the sets of a stage.

    Attributes:
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
        left_out: names of pictures that are not used, such as ecssd/0001.
        arch: the network that is trained: its paper's frame skips are used.
    """

    image_size: Size = (384, 384)
    clip_length: int = 3
    num_objects: int = 2
    max_skip: int | None = None
    skip_growth: int = 0
    skip_start: tuple[int, int] = (5, 3)
    samples_per_video: int = 1
    soft_masks: bool = False
    clip_draw: str = "mivos"
    repeat_frames: bool = False
    augmentation: str = "mivos"
    zoom: float = 1.0
    render: bool = True
    left_out: Collection[str] = ()
    arch: str = "qdmn"

    def draw_positions(self) -> DrawPositions:
        """What draws the frames of a clip from those of a video."""
        if self.clip_draw == "stm_cycle":
            return sample_ascending_positions
        if self.clip_draw == "dropseg":
            return sample_positions_either_way
        return partial(sample_positions, distinct=not self.repeat_frames, stretch=int(self.arch in MIVOS_FAMILY))

    def draw_views(self, min_scale: float) -> DrawViews:
        """What draws the views of the frames of a video; `min_scale` as in `video_views`."""
        if self.augmentation == "stm_cycle":
            return partial(letterboxed_views, canvas=self.image_size)
        return partial(video_views, canvas=self.image_size, min_scale=min_scale, zoom=self.zoom)


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


class StageData(RequestedSamples):
    """Several datasets as one.

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
    roots: Mapping[str, Path | None],
    options: ClipOptions = ClipOptions(),
    *,
    lists: Mapping[str, Path | None] | None = None,
    composites: float = 0.0,
    composite_stills: bool = False,
) -> StageData:
    """Data of a stage: of the sets of `TRAINING_SETS` those that belong to it.

    Args:
        stage: 0 static pictures, 1 BL30K, 2 and 3 DAVIS five times + YouTube-VOS, `INTERACTIVE` all but BL30K.
        roots: folders by `TrainingSet.option`, by default `TrainingSet.root_in`; `none` leaves a set out of a stage
            that has several.
        options: how samples are drawn.
        lists: files with the names of the videos to use, by `TrainingSet.list_option`.
        composites: share of the samples that are composites of a clip and objects cut out of others, see `Composites`.
        composite_stills: cut objects out of the pictures of `static_root` too, in the stages of videos.

    Raises:
        InputError: a folder is missing or holds no data, or the stage is left without any.
    """
    places = {entry.option: roots.get(entry.option) or entry.root_in(stage) for entry in TRAINING_SETS}
    parts: list[Part] = []
    for entry in _used_sets(stage, places):
        root = places[entry.option]
        if entry.clips is None:
            parts += _picture_parts(root, options)
        else:
            parts.append(_video_part(entry, entry.clips, root, (lists or {}).get(entry.list_option), options))
    sources = [part.dataset for part in parts if isinstance(part.dataset, Source)]
    if any(isinstance(source, VOSDataset) for source in sources):
        for source in sources:
            source.num_objects = options.num_objects  # of pictures one, where none has several ids
    if not composites:
        return StageData(parts)
    planes = sources[0].num_objects  # the same for all, as batches are of one shape
    if composite_stills and stage not in (0, INTERACTIVE):
        sources += [stills for stills, _ in static_datasets(places["static_root"], num_objects=options.num_objects)]
    made = Composites(sources, clip_length=options.clip_length, num_objects=planes, render=options.render)
    return StageData(parts, composites=made, composite_share=composites)


def _used_sets(stage: int, places: Mapping[str, Path]) -> list[TrainingSet]:
    """The sets of a stage; of several, those that are not left out."""
    sets = [entry for entry in TRAINING_SETS if stage in entry.stages]
    used = [entry for entry in sets if len(sets) == 1 or str(places[entry.option]) != str(NO_ROOT)]
    if not used:
        options = " or ".join(f"--{entry.option}" for entry in sets)
        raise InputError(f"stage {stage} is left without data; give {options}")
    return used


def _picture_parts(root: Path, options: ClipOptions) -> list[Part]:
    """The sets of pictures below a folder."""
    sets = static_datasets(
        root,
        num_objects=options.num_objects,
        image_size=options.image_size,
        clip_length=options.clip_length,
        soft_masks=options.soft_masks,
        zoom=options.zoom,
        render=options.render,
        left_out=options.left_out,
    )
    return [Part(stills, repeats) for stills, repeats in sets]


def _video_part(entry: TrainingSet, clips: VideoClips, root: Path, chosen: Path | None, options: ClipOptions) -> Part:
    """The videos of a set, or those that the file `chosen` names."""
    skips = clips.skips(options.arch, options.skip_growth, options.skip_start)
    videos = clips.open(
        root,
        skips.start,
        **({} if chosen is None else {"subset": set(read_given_list(chosen, entry.list_option))}),
        clip_length=options.clip_length,
        num_objects=options.num_objects,
        draw_positions=options.draw_positions(),
        draw_views=options.draw_views(clips.min_scale),
        render=options.render,
    )
    return Part(videos, entry.repeats * options.samples_per_video, skips, options.max_skip)
