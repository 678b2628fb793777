"""What the optimisations of reading and writing give: time of segmenting a made video with and without each."""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from PIL import Image
from torch import Tensor

from datasets.mask_files import read_ids, read_written_ids, write_ids
from datasets.synthetic.trees import VideoPlan, write_video
from datasets.test.annotated_video import AnnotatedVideo, Frame
from datasets.test.generic_videos import GenericDataset, GenericOptions
from evaluation.arguments import SHIPPED, add_arrival_arguments, evaluation_parser
from evaluation.cores import build_segmenter
from evaluation.segment import Segmenter
from inference_core import Stream
from inference_core_yv import InferenceCoreYV
from scripts.bench.measuring import disagreement
from util.device import choose_device
from util.files import atomic_path
from util.images import list_images
from util.numbers import pixels, positive
from util.progress import Progress
from util.tensors import one_hot


class Run(NamedTuple):
    """Seconds per frame on the clock, outside the core, and of all threads' CPU time; bytes of a mask; ids (T,H,W)."""

    wall: float
    outside: float
    cpu: float
    mask_bytes: float
    ids: np.ndarray


class StandInCore(Stream):
    """Segments at no cost: gives probabilities (K+1,H,W) made before, a frame's each."""

    def __init__(self, made: Iterable[Tensor], objects: tuple[int, ...]) -> None:
        self._made = iter(made)
        self._objects = objects

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all objects of the video."""
        return self._objects

    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """The next probabilities, whatever the image."""
        return next(self._made)


def blocking_writer(save: Callable[[Path, np.ndarray], None]) -> AbstractContextManager[SimpleNamespace]:
    """Writes masks by `save`; each is on disk when `write` returns."""
    return nullcontext(SimpleNamespace(write=save))


def read_when_asked(read: Callable[[Any], Frame], items: Iterable[Any]) -> Iterator[Frame]:
    """Yield `read(item)` for every item, read when it is asked for."""
    return (read(item) for item in items)


def save_png(path: Path, picture: Image.Image) -> None:
    """A PNG as compact as Pillow makes it by itself, flushed like the product's."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")


def largest_row(probabilities: Tensor) -> Tensor:
    """The row that is largest in each place: (K+1,H,W) -> (H,W), int64."""
    return probabilities.argmax(0)


REPLACED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "frames read ahead": ("datasets.test.annotated_video.read_ahead", read_when_asked, "reading each frame when asked"),
    "fast PNG compression": ("datasets.mask_files._save_png", save_png, "Pillow's default compression"),
    "masks written by threads": ("evaluation.segment.PngWriter", blocking_writer, "writing each mask in place"),
    "objects by max": ("evaluation.segment.most_likely", largest_row, "argmax"),
}
SETTINGS = {"all on": (), "plain": tuple(REPLACED), **{f"without {name}": (name,) for name in REPLACED}}


@contextmanager
def without(names: Collection[str]) -> Iterator[None]:
    """As published, what is named."""
    with ExitStack() as stack:
        for name in names:
            place, plain, _ = REPLACED[name]
            stack.enter_context(patch(place, plain))
        yield


def make_video(root: Path, args: argparse.Namespace) -> tuple[AnnotatedVideo, list[np.ndarray]]:
    """A made video of JPEG pictures with a mask of its first frame, and the ids (H,W) of every frame."""
    objects = (args.objects, args.objects)
    name = write_video(VideoPlan(root, "bl30k", "val", 0, 0, args.frames, args.size, objects, 1.0, clutter=3, late=0.0))
    masks = list_images(root / "Annotations" / name)
    dataset = GenericDataset(str(root / "JPEGImages" / name), masks[:1], GenericOptions())
    return dataset.videos[0], [read_ids(path) for path in masks]


def make_segmenters(args: argparse.Namespace, video: AnnotatedVideo, truth: list[np.ndarray]) -> dict[str, Segmenter]:
    """The stand-in, and where it is wanted the network as eval_generic.py has it."""
    device = choose_device(args.device)
    made = [one_hot(ids, [0, *video.objects]).to(device) for ids in truth]
    segmenters = {"files alone": Segmenter(lambda _: StandInCore(made, video.objects), device)}
    if args.network:
        parser = evaluation_parser(None)
        add_arrival_arguments(parser)
        options = parser.parse_args(["--model", str(args.model)])
        segmenters[args.model.name] = build_segmenter(options, device, InferenceCoreYV)
    return segmenters


def segment(video: AnnotatedVideo, segmenter: Segmenter, off: Collection[str], progress: Progress) -> Run:
    """Segment the video into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder, without(off):
        output = Path(folder, "masks")
        wall, cpu = perf_counter(), process_time()
        write_mask = partial(write_ids, palette=video.palette)
        speed = segmenter.run(video, output, write_mask, lambda _: [], progress)
        wall, cpu = perf_counter() - wall, process_time() - cpu
        paths = [output / name for name in video.result_names]
        mask_bytes = statistics.mean(path.stat().st_size for path in paths)
        ids = np.stack([read_written_ids(path) for path in paths])
    frames = len(video)
    return Run(wall / frames, (wall - speed.seconds) / frames, cpu / frames, mask_bytes, ids)


def median_run(runs: list[Run]) -> Run:
    """The median of each figure, and the ids of the last run."""
    wall, outside, cpu, mask_bytes = (
        statistics.median(values) for values in zip(*(run[:4] for run in runs), strict=True)
    )
    return Run(wall, outside, cpu, mask_bytes, runs[-1].ids)


def print_table(title: str, rows: Mapping[str, Run]) -> None:
    """One line for each setting, beside all on."""
    best = rows["all on"]
    print(f"\n{title:34}{'ms/frame':>9}{'of all on':>10}{'not core':>9}{'CPU ms':>8}{'bytes/mask':>11}  masks")
    for name, run in rows.items():
        apart = disagreement(run.ids, best.ids)
        masks = f"{apart:.3%} of the object pixels differ" if apart else "equal"
        times = f"{1000 * run.wall:9.2f}{run.wall / best.wall:10.2f}{1000 * run.outside:9.2f}{1000 * run.cpu:8.2f}"
        print(f"{name:34}{times}{run.mask_bytes:11.0f}  {masks}", flush=True)


def run(args: argparse.Namespace) -> None:
    """Every setting in turn, round after round, so that whatever else the machine does meets all alike."""
    for name, (_, _, words) in REPLACED.items():
        print(f"{name}: instead of {words}")
    print(f"{args.frames} frames of {args.size[0]}x{args.size[1]}, {args.objects} objects; files are in the page cache")
    with tempfile.TemporaryDirectory() as folder:
        video, truth = make_video(Path(folder), args)
        for title, segmenter in make_segmenters(args, video, truth).items():
            runs: dict[str, list[Run]] = {name: [] for name in SETTINGS}
            rounds = args.warmup + args.repeats
            with Progress(rounds * len(runs) * len(video)) as progress:
                for _ in range(rounds):
                    for name, off in SETTINGS.items():
                        runs[name].append(segment(video, segmenter, off, progress))
            print_table(title, {name: median_run(kept[args.warmup :]) for name, kept in runs.items()})


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py files`."""
    command.add_argument("--frames", type=positive, default=40, help="of the made video (%(default)s)")
    command.add_argument("--objects", type=positive, default=3)
    command.add_argument("--size", type=pixels, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--network", action="store_true", help="once more with a network at work")
    command.add_argument("--model", type=Path, default=SHIPPED, help="of --network (%(default)s)")
