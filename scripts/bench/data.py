"""How many training samples a core makes in a second, beside a plain PIL pipeline."""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from datasets.synthetic.clips import SyntheticClip
from datasets.train.augment import video_views
from datasets.train.static_dataset import StaticDataset
from datasets.train.vos_dataset import VOSDataset
from scripts.bench.pil_pipeline import static_clip, video_clip
from scripts.bench.timing import measure
from util.numbers import pixels

Pipeline = Callable[[int], object]
CPU = torch.device("cpu")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py data`."""
    command.add_argument("--image_size", type=pixels, default=384)
    command.add_argument("--pictures", type=Path, help="folder of .jpg and .png pairs; made ones by default")
    command.add_argument("--videos", type=Path, help="folder with JPEGImages and Annotations; made ones by default")
    command.add_argument("--height", type=pixels, default=480, help="of made frames, 16:9 (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Time both pipelines on the same files, sample by sample in turn, on one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        if not (args.pictures and args.videos):
            make_data(Path(folder), args.height)
        pictures, videos = args.pictures or Path(folder, "stills"), args.videos or Path(folder)
        canvas = (args.image_size, args.image_size)
        stills = StaticDataset(pictures, image_size=canvas)
        views = partial(video_views, canvas=canvas)
        clips = VOSDataset(videos / "JPEGImages", videos / "Annotations", max_skip=5, draw_views=views, num_objects=1)
        print(f"{args.image_size} px, clips of 3 frames, one core; median of {args.repeats} samples each")
        side = args.image_size
        _compare(args, "static", lambda i: stills[i % len(stills)], lambda i: _plain_still(stills, i, side))
        _compare(args, "video", lambda i: clips[i % len(clips)], lambda i: _plain_video(clips, i, side))


def make_data(root: Path, height: int) -> None:
    """Four videos of eight frames with masks, and their first frames as still pictures."""
    for seed in range(4):
        clip = SyntheticClip(seed, height, height * 16 // 9, objects=1)
        for number in range(8):
            rgb, ids = clip.frame(number)
            _write(root / f"JPEGImages/{seed}/{number:05d}.jpg", rgb)
            _write(root / f"Annotations/{seed}/{number:05d}.png", ids)
            if number == 0:
                _write(root / f"stills/{seed}.jpg", rgb)
                _write(root / f"stills/{seed}.png", ids * 255)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _compare(
    args: argparse.Namespace, name: str, ours: Callable[[int], object], plain: Callable[[int], object]
) -> None:
    seconds: list[list[float]] = [[], []]
    for i in range(args.warmup + args.repeats):
        for number, pipeline in enumerate((ours, plain)):
            seconds[number].append(measure(lambda i=i, pipeline=pipeline: pipeline(i), CPU)[0])
    own, other = (statistics.median(times[args.warmup :]) for times in seconds)
    print(f"{name:>7}: {1 / own:7.1f} samples/s, plain PIL pipeline {1 / other:7.1f}, ratio {other / own:.1f}")


def _plain_still(stills: StaticDataset, index: int, side: int) -> object:
    picture = stills.pictures[index % len(stills)]
    return static_clip(picture, picture.with_suffix(".png"), side, stills.clip_length)


def _plain_video(clips: VOSDataset, index: int, side: int) -> object:
    pairs = clips.videos[index % len(clips)][1][: clips.clip_length]
    return video_clip(*zip(*pairs, strict=True), side)
