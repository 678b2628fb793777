"""The augmentation of training clips the plain way: PIL pictures through torchvision's transforms, one after another.

It stands for what the published training code does, step by step: every frame is resampled by each geometric
transform, warped on the full pixel grid and normalised as float32. The benchmark compares the project's own
pipeline with it; nothing else uses it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tvf

from datasets.train.tps import draw_control_points, pixel_map
from util.tensors import normalise

FILL = {tv_tensors.Mask: 0, "others": (124, 116, 104)}
BICUBIC, NEAREST = InterpolationMode.BICUBIC, InterpolationMode.NEAREST


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
