"""Augmentation of training clips, as published for QDMN (ECCV 2022) and its predecessor MiVOS.

Frames travel as PIL images, because torchvision resamples affine maps bicubically only there, and because PIL
antialiases when it shrinks, as the published training did. Masks travel as `tv_tensors.Mask` and are resampled to the
nearest neighbour. All frames and masks given to one call of a transform share one random draw, and every draw comes
from torch's default generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tvf

from datasets.tps import RandomThinPlateWarp

MEAN_COLOUR = (124, 116, 104)
FILL = {tv_tensors.Mask: 0, "others": MEAN_COLOUR}
BICUBIC = InterpolationMode.BICUBIC
NEAREST = InterpolationMode.NEAREST
NEAREST_EXACT = InterpolationMode.NEAREST_EXACT

Frames = list[Image.Image]
Masks = list[tv_tensors.Mask]


class ResizePair(v2.Resize):
    """`v2.Resize` whose masks are read at pixel centres, as frames are; torchvision's lie up to half a pixel off."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize one PIL image or one mask (1, H, W)."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        return tv_tensors.Mask(tvf.resize(inpt.as_subclass(Tensor), self.size, interpolation=NEAREST_EXACT))


class RandomResizedCropPair(v2.RandomResizedCrop):
    """`v2.RandomResizedCrop` whose masks are read at pixel centres, as frames are."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize one PIL image or one mask (1, H, W)."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        plain = inpt.as_subclass(Tensor)
        return tv_tensors.Mask(tvf.resized_crop(plain, **params, size=self.size, interpolation=NEAREST_EXACT))


class SoftMaskAffine(v2.RandomAffine):
    """An affine map that also resamples masks bicubically, so that their edges become soft."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Transform one PIL image, or one mask (1, H, W) uint8 in 0..255."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        grey = tvf.affine(tvf.to_pil_image(inpt), **params, interpolation=BICUBIC, fill=0)
        return tv_tensors.Mask(tvf.pil_to_tensor(grey))


@dataclass(frozen=True)
class ClipAugmentation:
    """Two transforms: `sequence` is drawn once for a whole clip, `view` anew for each of its frames."""

    sequence: v2.Transform
    view: v2.Transform

    def views(self, frames: Sequence[Image.Image], masks: Sequence[tv_tensors.Mask]) -> tuple[Frames, Masks]:
        """Apply `view` to each frame and its mask (1, H, W)."""
        pairs = [self.view(frame, mask) for frame, mask in zip(frames, masks, strict=True)]
        return [frame for frame, _ in pairs], [mask for _, mask in pairs]


def static_augmentation(image_size: int, soft_masks: bool) -> ClipAugmentation:
    """Views of one picture that imitate the motion of a camera and of a deforming object.

    Args:
        image_size: side of the square views, in pixels.
        soft_masks: resample masks bicubically in the affine map of each view, as published.
    """
    affine = SoftMaskAffine if soft_masks else v2.RandomAffine
    return ClipAugmentation(
        sequence=v2.Compose(
            [
                v2.RandomAffine(degrees=0, scale=(0.8, 1.5), interpolation=NEAREST, fill=FILL),
                v2.RandomHorizontalFlip(0.5),
                v2.ColorJitter(brightness=0.1, contrast=0.05, saturation=0.05, hue=0.05),
                v2.RandomGrayscale(0.05),
            ]
        ),
        view=v2.Compose(
            [
                affine(degrees=20, scale=(0.9, 1.1), shear=10, interpolation=BICUBIC, fill=FILL),
                ResizePair(image_size, interpolation=BICUBIC),
                v2.RandomCrop(image_size, pad_if_needed=True, fill=FILL),
                v2.ColorJitter(brightness=0.1, contrast=0.05, saturation=0.05),
                RandomThinPlateWarp(0.33),
            ]
        ),
    )


def video_augmentation(image_size: int, min_scale: float) -> ClipAugmentation:
    """One crop for the whole clip, then a small affine map and a slight change of colour for each frame.

    Args:
        image_size: side of the square frames, in pixels.
        min_scale: smallest share of the frame's area that the crop keeps (0.36; BL30K 0.25).
    """
    return ClipAugmentation(
        sequence=v2.Compose(
            [
                v2.RandomHorizontalFlip(0.5),
                RandomResizedCropPair(image_size, scale=(min_scale, 1.0), ratio=(3 / 4, 4 / 3), interpolation=BICUBIC),
                v2.ColorJitter(brightness=0.1, contrast=0.03, saturation=0.03),
                v2.RandomGrayscale(0.05),
            ]
        ),
        view=v2.Compose(
            [
                v2.RandomAffine(degrees=15, shear=10, interpolation=BICUBIC, fill=FILL),
                v2.ColorJitter(brightness=0.01, contrast=0.01, saturation=0.01),
            ]
        ),
    )


def to_mask(ids: np.ndarray) -> tv_tensors.Mask:
    """Ids or grey values (H, W) uint8 -> mask (1, H, W)."""
    return tv_tensors.Mask(torch.from_numpy(ids)[None])
