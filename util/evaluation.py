"""Run a segmentation core over a test set: results as PNGs, speed, memory, scores, an archive for the server."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from util.device import peak_memory_mb, synchronise
from util.errors import InputError
from util.files import make_output_folder
from util.images import write_binary, write_ids
from util.png_writer import PngWriter
from util.progress import Progress
from util.recorders import FrameReport, QualityRecorder, SheetRecorder
from util.result_folder import atomic_folder, beside, is_complete, zip_results
from util.score_tables import Scores, format_table, score_folder, write_csv
from util.scoring import score_results

SHEETS, QUALITY = "-sheets", "-quality"


class Frame(Protocol):
    """A frame as `datasets.davis_test_dataset.Frame` describes it."""

    name: str
    pixels: np.ndarray
    image: Tensor
    mask: Tensor | None


class Video(Protocol):
    """A video as `datasets.davis_test_dataset.Video` describes it."""

    name: str
    objects: tuple[int, ...]
    output_size: tuple[int, int]
    result_names: list[str]
    has_annotations: bool

    def __len__(self) -> int: ...

    def frames(self) -> Iterator[Frame]: ...

    def original_ids(self, labels: np.ndarray) -> np.ndarray: ...


class Dataset(Protocol):
    """A test set as `datasets.davis_test_dataset.DavisTestDataset` describes it."""

    videos: Sequence[Video]
    split: str
    merged: bool
    frames_folder: Path
    masks_folder: Path


class Core(Protocol):
    """An inference core: segments the frames of one video in order."""

    report: FrameReport

    def step(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Image (3, H, W) and, where given, mask (K, H, W) -> probabilities (K+1, H, W), background first."""
        ...


@dataclass(frozen=True)
class RunOptions:
    """How a test set is run.

    Attributes:
        output: folder for the results; sheets, tables and the archive are written beside it.
        device: where the core works.
        autocast: number format of automatic mixed precision, None for float32.
        overwrite: segment finished videos again.
        score: compute J&F when all videos are done.
        zip: pack the results when all videos are done.
        contact_sheet: draw a contact sheet of each video.
        quality_csv: write a table of each video's quality scores and memory.
    """

    output: Path
    device: torch.device
    autocast: torch.dtype | None = None
    overwrite: bool = False
    score: bool = False
    zip: bool = False
    contact_sheet: bool = False
    quality_csv: bool = False


@dataclass
class Speed:
    """Frames done, and the seconds they took on the device (no reading and no writing)."""

    frames: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Frames per second, 0 before the first."""
        return self.frames / self.seconds if self.seconds else 0.0


def evaluate(
    dataset: Dataset, options: RunOptions, build: Callable[[torch.device], Callable[[], Core]]
) -> Scores | None:
    """Segment the videos of a test set that are not finished yet, then score and pack the results as wanted.

    Args:
        dataset: the videos.
        options: what to do with them.
        build: loads the network onto a device and returns what makes a fresh core; not called without need.

    Returns:
        The scores, where they are wanted.

    Raises:
        InputError: the output folder cannot be used, the set cannot be scored, or a frame cannot be read.
        OSError: a result cannot be written. Nothing half-written stays.
    """
    if options.score and not all(video.has_annotations for video in dataset.videos):
        raise InputError(
            f"only the first frames are annotated in {dataset.masks_folder}; run without --score and"
            " send the archive of --zip to the server"
        )
    if options.output.resolve() in (dataset.frames_folder.resolve(), dataset.masks_folder.resolve()):
        raise InputError(f"output folder {options.output} holds the dataset; choose another folder")
    pending = [video for video in dataset.videos if options.overwrite or not _is_finished(options.output, video)]
    if len(pending) < len(dataset.videos):
        print(f"{len(dataset.videos) - len(pending)} finished videos skipped; --overwrite segments them again")
    if pending:
        new_core = build(options.device)
        _make_folders(options)
        _segment_videos(pending, new_core, write_binary if dataset.merged else write_ids, options)
    scores = None
    if options.score:
        names = [video.name for video in dataset.videos]
        scores = score_results(options.output, dataset.masks_folder, names, binary=dataset.merged)
        write_csv(scores, score_folder(options.output), dataset.split)
        print(format_table(scores))
    if options.zip:
        archive = zip_results(options.output, {video.name: video.result_names for video in dataset.videos})
        print(f"packed into {archive}")
    return scores


def _is_finished(output: Path, video: Video) -> bool:
    return is_complete(output / video.name, video.result_names)


def _make_folders(options: RunOptions) -> None:
    make_output_folder(options.output)
    if options.score or options.zip:
        make_output_folder(options.output.absolute().parent)
    for wanted, suffix in ((options.contact_sheet, SHEETS), (options.quality_csv, QUALITY)):
        if wanted:
            make_output_folder(beside(options.output, suffix))


def _segment_videos(
    videos: Sequence[Video],
    new_core: Callable[[], Core],
    write_mask: Callable[[Path, np.ndarray], None],
    options: RunOptions,
) -> None:
    start, total = time.perf_counter(), Speed()
    with Progress(sum(map(len, videos))) as progress:
        for video in videos:
            speed = segment_video(video, new_core(), write_mask, options, progress)
            total.frames += speed.frames
            total.seconds += speed.seconds
            progress.part_done(f"{video.name}: {speed.frames} frames, {speed.fps:.2f} FPS")
    wall = time.perf_counter() - start
    print(f"{total.frames} frames in {total.seconds:.2f} s of inference: {total.fps:.2f} FPS")
    print(f"{wall:.2f} s with reading and writing: {total.frames / wall:.2f} FPS")
    print(f"peak memory: {peak_memory_mb(options.device):.0f} MB ({options.device.type})")


def segment_video(
    video: Video,
    core: Core,
    write_mask: Callable[[Path, np.ndarray], None],
    options: RunOptions,
    progress: Progress,
) -> Speed:
    """Segment one video into `<output>/<video>`, which appears when all its files are on disk.

    Args:
        video: the video.
        core: a core that has seen no frame yet.
        write_mask: writes the original ids of one frame.
        options: see `RunOptions`.
        progress: advanced by one for each frame.
    """
    speed = Speed()
    recorders = _recorders(video, options)
    with atomic_folder(options.output / video.name) as folder:
        with closing(video.frames()) as frames, PngWriter(write_mask) as writer:
            for frame in frames:
                start = time.perf_counter()
                labels = segment_frame(core, frame, video.output_size, options)
                speed.seconds += time.perf_counter() - start
                speed.frames += 1
                ids = video.original_ids(labels)
                writer.write(folder / f"{frame.name}.png", ids)
                for recorder in recorders:
                    recorder.add(frame.name, frame.pixels, ids, core.report)
                progress.advance(video.name)
        for recorder in recorders:
            recorder.save()
    return speed


def segment_frame(core: Core, frame: Frame, size: tuple[int, int], options: RunOptions) -> np.ndarray:
    """Labels 0..K of one frame, shape `size`, uint8: the arg max of the probabilities, resized bilinearly if needed."""
    device = options.device
    image = frame.image.to(device)
    mask = None if frame.mask is None else frame.mask.to(device)
    autocast = torch.autocast(device.type, dtype=options.autocast, enabled=options.autocast is not None)
    with torch.inference_mode():
        with autocast:
            probabilities = core.step(image, mask).float()
        if probabilities.shape[-2:] != size:
            probabilities = F.interpolate(probabilities[None], size, mode="bilinear", align_corners=False)[0]
        labels = probabilities.argmax(dim=0).to(torch.uint8)
    synchronise(device)
    return labels.cpu().numpy()


def _recorders(video: Video, options: RunOptions) -> list[SheetRecorder | QualityRecorder]:
    recorders: list[SheetRecorder | QualityRecorder] = []
    if options.contact_sheet:
        path = beside(options.output, SHEETS) / f"{video.name}.png"
        recorders.append(SheetRecorder(path, len(video)))
    if options.quality_csv:
        path = beside(options.output, QUALITY) / f"{video.name}.csv"
        recorders.append(QualityRecorder(path, video.objects))
    return recorders
