"""Interactive segmentation: clicks, strokes, a box and the mask so far -> the mask of an object (RITM, ICIP 2022).

Unlike RITM (Sofiiuk et al.), which feeds the clicks to its first layer, prompts enter behind an image encoder that
another network has anyway and whose weights stay as they are: a frame is encoded once, and each click costs a decoder.

    network = load_click_network(path, vos_network.query_encoder)    # model.weights.checkpoint
    features = network.encode(image)                                 # once a frame
    prompts = render_prompts([Click(40, 25), Click(90, 30, positive=False)], features.size)
    mask = network.segment(features, prompts).sigmoid()
    mask = network.segment(features, render_prompts([...], features.size), mask).sigmoid()    # one more click
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.decoder import CELL, ResidualBlock
from model.layers.resnet import ResNetEncoder

STRIDE = 4  # of the planes, in pixels
RADII = (5, 15, 45)  # of the disks of a click, in pixels
PLANES = 2 * (len(RADII) + 1) + 1
FRACTION = 4  # binary digits behind the point that OpenCV draws with
MOST_DISTANT = 1 << 15  # pixels from the corner; coordinates are cut off there


@dataclass(frozen=True)
class Click:
    """A point that belongs to the object, or does not.

    Coordinates of all prompts are in pixels of the frame, from its upper left corner: the first pixel's centre is at
    (0.5, 0.5). What lies outside the frame is cut off.
    """

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Stroke:
    """A line through points (x, y), `radius` pixels to either side, that belongs to the object, or does not."""

    points: tuple[tuple[float, float], ...]
    positive: bool = True
    radius: float = 5.0


@dataclass(frozen=True)
class Box:
    """A loose box around the object; of several, the last counts."""

    x0: float
    y0: float
    x1: float
    y1: float


Prompt = Click | Stroke | Box


def render_prompts(prompts: Sequence[Prompt], size: tuple[int, int]) -> Tensor:
    """Prompts as planes at stride 4.

    Args:
        prompts: all that were given for the object on this frame, in order.
        size: height and width of the frame, in pixels.

    Returns:
        (1,PLANES,4h,4w) float32, h and w the frame's cells of 16 pixels: for what is positive, disks of the clicks with
        each radius of `RADII` and strokes; the same for what is negative; all in [0, 1], by how much of a pixel is
        covered. Last the box: 1 inside and -1 outside, or 0 where none was given.
    """
    height, width = (-(-side // CELL) * CELL for side in size)
    canvas = np.zeros((PLANES, height, width), np.uint8)
    box: Box | None = None
    for prompt in prompts:
        if isinstance(prompt, Box):
            box = prompt
            continue
        first = 0 if prompt.positive else len(RADII) + 1
        if isinstance(prompt, Click):
            for plane, radius in enumerate(RADII, first):
                cv2.circle(canvas[plane], _fixed(prompt.x, prompt.y), radius << FRACTION, 255, -1, shift=FRACTION)
        else:
            _draw_stroke(canvas[first + len(RADII)], prompt)
    if box is not None:
        (x0, y0), (x1, y1) = _fixed(box.x0, box.y0), _fixed(box.x1, box.y1)
        cv2.rectangle(canvas[-1], (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1)), 255, -1, shift=FRACTION)
    planes = F.avg_pool2d(torch.from_numpy(canvas)[None].float().div_(255), STRIDE)
    if box is not None:
        planes[:, -1] = 2 * planes[:, -1] - 1
    return planes


def _draw_stroke(plane: np.ndarray, stroke: Stroke) -> None:
    points = np.array([_fixed(x, y) for x, y in stroke.points], np.int32)
    radius = round(max(1, min(MOST_DISTANT / 4, stroke.radius)))
    if len(points) == 1:
        cv2.circle(plane, points[0].tolist(), radius << FRACTION, 255, -1, shift=FRACTION)
    elif len(points):
        cv2.polylines(plane, [points[:, None]], isClosed=False, color=255, thickness=2 * radius, shift=FRACTION)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point as OpenCV draws it, whose first pixel's centre is at (0, 0)."""
    x, y = (max(-MOST_DISTANT, min(MOST_DISTANT, value)) for value in (x, y))
    return round((x - 0.5) * (1 << FRACTION)), round((y - 0.5) * (1 << FRACTION))


class ClickFeatures(NamedTuple):
    """What the decoder needs to know of frames: maps at strides 16, 8, 4 and 2, and the frames' height and width."""

    f16: Tensor
    f8: Tensor
    f4: Tensor
    f2: Tensor
    size: tuple[int, int]


class Exchange(nn.Module):
    """Every place looks at all places, clicked ones among them, then at its neighbours.

    The attention is done without autocast: on CPUs its backward pass takes three times as long in bf16.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.block = ResidualBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,h,w) -> the same."""
        with torch.autocast(x.device.type, enabled=False):
            tokens = self.norm(x.float().flatten(2).transpose(1, 2))
            seen, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.block(x + seen.transpose(1, 2).unflatten(2, x.shape[-2:]))


class ClickDecoder(nn.Module):
    """All of `ClickNetwork` but the trunk: what is learned, and what its files hold; 2.4 M parameters by default.

    Args:
        channels: of the trunk's features at strides 4, 8 and 16.
        width: channels at stride 16; at strides 8, 4 and 2 there are 0.6, 0.3 and 0.1 times as many.
        depth: exchanges between places at stride 16.
        heads: of their attention.
        trunk: which weights of the trunk belong to it, see `fingerprint`; "" for any.
    """

    arch = "clicks"

    def __init__(
        self,
        *,
        channels: Sequence[int] = (256, 512, 1024),
        width: int = 160,
        depth: int = 3,
        heads: int = 5,
        trunk: str = "",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "channels": list(channels),
            "width": width,
            "depth": depth,
            "heads": heads,
            "trunk": trunk,
        }
        w8, w4, w2 = (width * tenths // 10 for tenths in (6, 3, 1))
        c4, c8, c16 = channels
        self.project16 = nn.Conv2d(c16, width, 1)
        self.project8 = nn.Conv2d(c8, w8, 1)
        self.project4 = nn.Conv2d(c4, w4, 1)
        self.project2 = nn.Sequential(
            nn.Conv2d(3, w2, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(w2, w2, 3, padding=1)
        )
        self.prompt4 = nn.Conv2d(PLANES + 1, w4, 3, padding=1)
        self.prompt8 = nn.Conv2d(w4, w8, 3, stride=2, padding=1)
        self.prompt16 = nn.Conv2d(w8, width, 3, stride=2, padding=1)
        self.exchanges = nn.Sequential(*(Exchange(width, heads) for _ in range(depth)))
        self.up_16_8, self.block8 = nn.Conv2d(width, w8, 1), ResidualBlock(w8, w8)
        self.up_8_4, self.block4 = nn.Conv2d(w8, w4, 1), ResidualBlock(w4, w4)
        self.up_4_2, self.block2 = nn.Conv2d(w4, w2, 1), ResidualBlock(w2, w2)
        self.predict = nn.Conv2d(w2, 1, 3, padding=1)

    def project(self, image: Tensor, trunk: tuple[Tensor, ...], size: tuple[int, int]) -> ClickFeatures:
        """Image (B,3,16h,16w) and the trunk's features at strides 4, 8 and 16 -> what `forward` takes."""
        f4, f8, f16 = trunk
        return ClickFeatures(self.project16(f16), self.project8(f8), self.project4(f4), self.project2(image), size)

    def forward(self, features: ClickFeatures, prompts: Tensor, previous: Tensor | None = None) -> Tensor:
        """See `ClickNetwork.segment`."""
        f16, f8, f4, f2, size = features
        if previous is None:
            before = prompts.new_zeros(len(prompts), 1, *prompts.shape[-2:])
        else:
            before = F.avg_pool2d(_pad(previous.to(prompts.dtype)), STRIDE)
        p4 = self.prompt4(torch.cat([prompts, before], 1))
        p8 = self.prompt8(F.relu(p4))
        p16 = self.prompt16(F.relu(p8))
        x = self.exchanges(f16 + p16)
        x = self.block8(_twice(self.up_16_8(x)) + f8 + p8)
        x = self.block4(_twice(self.up_8_4(x)) + f4 + p4)
        x = self.block2(_twice(self.up_4_2(x)) + f2)
        return _twice(self.predict(F.relu(x)).float())[..., : size[0], : size[1]]


class ClickNetwork(nn.Module):
    """Turns prompts into the mask of an object.

    Args:
        trunk: image encoder with features at strides 4, 8 and 16, such as `query_encoder` of the shipped network. It is
            shared, not copied, and its weights are never changed.
        decoder: what was learned for this trunk; by default an untrained one.
    """

    def __init__(self, trunk: ResNetEncoder, decoder: ClickDecoder | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.decoder = ClickDecoder(channels=trunk.channels, trunk=fingerprint(trunk)) if decoder is None else decoder

    def encode(self, image: Tensor, features: tuple[Tensor, ...] | None = None) -> ClickFeatures:
        """What does not depend on prompts.

        Args:
            image: (B,3,H,W), normalised, of any size.
            features: what the trunk made of this image, at strides 4, 8 and 16, where it has run; the image's sides
                must be multiples of 16 then.

        Raises:
            ValueError: features are given for an image of another size.
        """
        padded = _pad(image)
        if features is None:
            with torch.no_grad():
                features = self.trunk(padded)
        elif features[-1].shape[-2] * CELL != image.shape[-2] or features[-1].shape[-1] * CELL != image.shape[-1]:
            raise ValueError(f"features of {tuple(features[-1].shape)} do not fit an image of {tuple(image.shape)}")
        return self.decoder.project(padded, features, (image.shape[-2], image.shape[-1]))

    def segment(self, features: ClickFeatures, prompts: Tensor, previous: Tensor | None = None) -> Tensor:
        """The mask that prompts ask for.

        Args:
            features: of one frame, or of B.
            prompts: (B,PLANES,4h,4w), one object's each, from `render_prompts`; `torch.cat` puts objects together.
            previous: (B,1,H,W) in [0, 1], the object's mask so far: that of the prompts before the last one, or one
                that was tracked from other frames; None where there is none.

        Returns:
            Logits (B,1,H,W), float32; the network decides at stride 2.
        """
        return self.decoder(features, prompts, previous)


def fingerprint(trunk: nn.Module) -> str:
    """Tells weights apart, but not full precision from half; batch-norms must not have been folded yet."""
    digest = hashlib.sha256()
    for name, value in sorted(trunk.state_dict().items()):
        if value.ndim > 1:
            digest.update(name.encode() + value.detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _pad(maps: Tensor) -> Tensor:
    """Zeros to the right and below, up to whole cells."""
    height, width = maps.shape[-2:]
    return F.pad(maps, (0, -width % CELL, 0, -height % CELL))


def _twice(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
