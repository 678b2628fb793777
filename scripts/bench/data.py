"""How many training samples a core makes in a second, beside a plain PIL pipeline.

The plain pipeline stands for what the published training code does, step by step: PIL pictures go through torchvision's
transforms, each of which resamples every frame, are warped on the full pixel grid and normalised as float32.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tvf

from datasets.synthetic.clips import SyntheticClip
from datasets.train.augment import video_views
from datasets.train.static_dataset import StaticDataset
from datasets.train.tps import draw_control_points, pixel_map
from datasets.train.vos_dataset import VOSDataset
from scripts.bench.measuring import measure
from util.numbers import pixels
from util.tensors import normalise

CPU = torch.device("cpu")
FILL = {tv_tensors.Mask: 0, "others": (124, 116, 104)}
BICUBIC, NEAREST = InterpolationMode.BICUBIC, InterpolationMode.NEAREST


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
            seconds[number].append(measure(partial(pipeline, i), CPU)[0])
    own, other = (statistics.median(times[args.warmup :]) for times in seconds)
    print(f"{name:>7}: {1 / own:7.1f} samples/s, plain PIL pipeline {1 / other:7.1f}, ratio {other / own:.1f}")


def _plain_still(stills: StaticDataset, index: int, side: int) -> object:
    picture = stills.pictures[index % len(stills)]
    return static_clip(picture, picture.with_suffix(".png"), side, stills.clip_length)


def _plain_video(clips: VOSDataset, index: int, side: int) -> object:
    pairs = clips.videos[index % len(clips)][1][: clips.clip_length]
    return video_clip([frame for frame, _ in pairs], [mask for _, mask in pairs], side)


class ThinPlateWarp(v2.Transform):
    """Warp a PIL image and its mask on the full pixel grid."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The grid that image and mask share."""
        height, width = tvf.get_size(flat_inputs[0])
        pixels = pixel_map(*draw_control_points(height, width), height, width)
        return {"grid": pixels * (2 / torch.tensor([width - 1.0, height - 1.0])) - 1}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Warp one of them."""
        is_mask = isinstance(inpt, tv_tensors.Mask)
        pixels = inpt.as_subclass(Tensor) if is_mask else tvf.pil_to_tensor(inpt)
        mode = "nearest" if is_mask else "bilinear"
        warped = F.grid_sample(pixels[None].float(), params["grid"][None], mode=mode, align_corners=True)[0]
        warped = warped.round().to(torch.uint8)
        return tv_tensors.Mask(warped) if is_mask else tvf.to_pil_image(warped)


def static_clip(picture: Path, mask: Path, side: int, count: int) -> tuple[Tensor, Tensor]:
    """Views of a picture: frames (T,3,S,S) float32, masks (T,1,S,S) float32."""
    shared = v2.Compose(
        [
            v2.RandomAffine(degrees=0, scale=(0.8, 1.5), interpolation=NEAREST, fill=FILL),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.1, 0.05, 0.05, 0.05),
            v2.RandomGrayscale(0.05),
        ]
    )
    own = v2.Compose(
        [
            v2.RandomAffine(degrees=20, scale=(0.9, 1.1), shear=10, interpolation=BICUBIC, fill=FILL),
            v2.Resize(side, interpolation=BICUBIC),
            v2.RandomCrop(side, pad_if_needed=True, fill=FILL),
            v2.ColorJitter(0.1, 0.05, 0.05),
            v2.RandomApply([ThinPlateWarp()], 0.33),
        ]
    )
    start = shared(Image.open(picture).convert("RGB"), _mask(mask))
    return _to_tensors([own(*start) for _ in range(count)])


def video_clip(frames: Sequence[Path], masks: Sequence[Path], side: int) -> tuple[Tensor, Tensor]:
    """Frames of a video (T,3,S,S) float32 and their masks (T,1,S,S) float32."""
    shared = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomResizedCrop(side, scale=(0.36, 1.0), ratio=(3 / 4, 4 / 3), interpolation=BICUBIC),
            v2.ColorJitter(0.1, 0.03, 0.03),
            v2.RandomGrayscale(0.05),
        ]
    )
    own = v2.Compose(
        [
            v2.RandomAffine(degrees=15, shear=10, interpolation=BICUBIC, fill=FILL),
            v2.ColorJitter(0.01, 0.01, 0.01),
        ]
    )
    pictures, planes = shared([Image.open(path).convert("RGB") for path in frames], [_mask(path) for path in masks])
    return _to_tensors([own(*pair) for pair in zip(pictures, planes, strict=True)])


def _mask(path: Path) -> tv_tensors.Mask:
    return tv_tensors.Mask(torch.from_numpy(np.array(Image.open(path)))[None])


def _to_tensors(views: Sequence[tuple[Image.Image, tv_tensors.Mask]]) -> tuple[Tensor, Tensor]:
    frames = torch.stack([normalise(np.array(picture)) for picture, _ in views])
    return frames, torch.stack([(mask > 0).float() for _, mask in views])
