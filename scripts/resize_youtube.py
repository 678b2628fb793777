"""Resize YouTube-VOS to a short side of 480 pixels, as training reads it.

    python scripts/resize_youtube.py data/YouTube/train data/YouTube/train_480p

Both folders hold {JPEGImages,Annotations}/<video>/. Frames are resampled bicubically and saved as JPEG, masks keep
their ids and palette, and pictures that are small enough are copied. Run the same command again to go on after an
interruption.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import cv2
import numpy as np
from PIL import Image

from util.errors import InputError, run
from util.files import atomic_path, make_output_folder, meets
from util.images import IMAGE_SUFFIXES, open_picture
from util.numbers import workers
from util.progress import Progress

SHORT_SIDE = 480
JPEG_QUALITY = 95
JPEG_SUFFIXES = (".jpg", ".jpeg")
JOBS_PER_TASK = 16


class Filter(Enum):
    """How a picture is made smaller."""

    BICUBIC = "bicubic"
    NEAREST = "nearest"
    AREA = "area"


@dataclass(frozen=True)
class Job:
    """One picture.

    Args:
        source: the picture.
        output: where the smaller one goes; its suffix decides the format.
        short_side: of the output in pixels; a picture that is not larger is kept as it is.
        filter: how it is made smaller. `AREA` turns to the nearest pixel for palette pictures, which have no mean.
    """

    source: Path
    output: Path
    short_side: int
    filter: Filter


def parse_arguments(description: str, source: str) -> argparse.Namespace:
    """The command line of a script that resizes; `source` says what its input is."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN", type=Path, help=source)
    parser.add_argument("output", metavar="OUT", type=Path, help="folder of the small ones")
    parser.add_argument(
        "--workers", type=workers, default=os.cpu_count() or 1, help="pictures at the same time (default: all cores)"
    )
    return parser.parse_args()


def resize_youtube(source: Path, output: Path, workers: int) -> int:
    """Resize `{JPEGImages,Annotations}/<video>/` to a short side of 480 pixels: JPEG frames, PNG masks.

    Returns:
        The number of pictures that were written; those that were there already are not counted.

    Raises:
        InputError: a folder is missing or has no picture, or a picture cannot be read.
    """
    jobs = []
    kinds = (("JPEGImages", Filter.BICUBIC, JPEG_SUFFIXES), ("Annotations", Filter.NEAREST, (".png",)))
    for kind, how, suffixes in kinds:
        if not (source / kind).is_dir():
            raise InputError(f"{source} has no folder {kind}; give the folder that holds JPEGImages and Annotations")
        for picture in sorted((source / kind).glob("*/*")):
            if picture.suffix.lower() in IMAGE_SUFFIXES and not picture.name.startswith("."):
                kept = picture.suffix.lower() in suffixes
                place = output / picture.relative_to(source)
                jobs.append(Job(picture, place if kept else place.with_suffix(suffixes[0]), SHORT_SIDE, how))
    if not jobs:
        raise InputError(f"{source} holds no picture in JPEGImages/<video>; check the folder")
    return resize_all(source, output, jobs, workers)


def resize_picture(job: Job) -> None:
    """Write one picture.

    Raises:
        InputError: it cannot be read.
    """
    picture = open_picture(job.source)
    width, height = picture.size
    short = min(width, height)
    size = (width * job.short_side // short, height * job.short_side // short)
    with atomic_path(job.output, known=True) as temporary:  # only what is missing is made
        if short > job.short_side:
            _save(_resized(picture, size, job.filter), temporary, job.output.suffix)
        elif job.source.suffix == job.output.suffix:
            shutil.copyfile(job.source, temporary)
        else:
            _save(picture, temporary, job.output.suffix)


def _resized(picture: Image.Image, size: tuple[int, int], how: Filter) -> Image.Image:
    if how is Filter.NEAREST or (how is Filter.AREA and picture.mode in ("P", "PA")):
        return picture.resize(size, Image.Resampling.NEAREST)
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    if how is Filter.AREA:
        return Image.fromarray(cv2.resize(np.asarray(picture), size, interpolation=cv2.INTER_AREA))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _save(picture: Image.Image, path: Path, suffix: str) -> None:
    if suffix.lower() in JPEG_SUFFIXES:
        picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        picture.save(path, format="JPEG", quality=JPEG_QUALITY)
    else:
        picture.save(path, format=Image.registered_extensions()[suffix.lower()])


def resize_all(source: Path, output: Path, jobs: list[Job], workers: int) -> int:
    """Write the pictures that are not there yet, in several processes; returns how many.

    Raises:
        InputError: the output meets the source, or a picture cannot be read.
    """
    if meets(output, source):
        raise InputError(
            f"{output} is, holds or lies in the folder of the large pictures; choose another one for the small ones"
        )
    outputs = {job.output for job in jobs}
    if len(outputs) < len(jobs):
        raise InputError(f"{source} holds pictures that differ in their suffix only; keep one of each name")
    missing = [job for job in jobs if not job.output.exists()]
    for folder in dict.fromkeys(job.output.parent for job in missing):
        make_output_folder(folder)
    with Progress(len(jobs)) as progress:
        progress.advance(source.name, len(jobs) - len(missing))
        for count in _run(missing, workers):
            progress.advance(source.name, count)
    return len(missing)


def _run(jobs: list[Job], workers: int) -> Iterator[int]:
    """Yields after each task how many pictures it has written."""
    tasks = [jobs[i : i + JOBS_PER_TASK] for i in range(0, len(jobs), JOBS_PER_TASK)]
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(_resize_some, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        try:
            for done in as_completed([pool.submit(_resize_some, task) for task in tasks]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _resize_some(jobs: list[Job]) -> int:
    for job in jobs:
        resize_picture(job)
    return len(jobs)


def _prepare_worker() -> None:
    """One thread for each worker; Ctrl-C is the main process's to handle."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Parse and resize."""
    args = parse_arguments(__doc__, "folder with JPEGImages and Annotations")
    written = resize_youtube(args.input, args.output, args.workers)
    print(f"wrote {written} pictures to {args.output}")


if __name__ == "__main__":
    run(main)
