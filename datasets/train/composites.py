"""Training clips with objects cut out of other clips pasted in (copy-paste, Ghiasi et al., CVPR 2021).

The background is a picture or the frames of a video with its own objects. Cut-outs come from pictures and videos: an
object of a picture is moved, one of a video keeps its own motion too. Beside objects there are look-alikes, copies of a
pasted object that are not the object, and cut-outs that belong to the background. An object that touches the border
of its picture is cut off there and is not used. Everything happens at the size of the background's frames, before the
usual augmentation. Every draw comes from torch's default generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from datasets.train.clips import Sample, object_planes, pack_clip
from datasets.train.geometry import Size, affine, flip, translation
from datasets.train.render import render_mask
from datasets.train.static_dataset import StaticDataset
from datasets.train.vos_dataset import VOSDataset
from util.errors import InputError
from util.tensors import between, chance, normal

Source = StaticDataset | VOSDataset

ATTEMPTS = 5
FIRST_ATTEMPTS = 60  # so that sets with few objects clear of the border still give one
LEAST_AREA, MOST_AREA = 0.004, 0.6  # of a cut-out, share of its picture
LEAST_VISIBLE = 1 / 600  # of an object, share of the first view
MOST_PASTED = 3
LOOK_ALIKE, BACKGROUND, BEHIND, LEAVES, MIRRORED = 0.35, 0.2, 0.3, 0.2, 0.5  # probabilities
EXTENT = (0.2, 1.1)  # longer side of a pasted object, share of the background's shorter side
MOST_ENLARGED = 1.5
BLURS = (0.5, 0.8, 1.2, 1.6)  # standard deviations, in pixels
LABELS = 254  # 255 is void in masks


@dataclass(frozen=True)
class Motion:
    """Standard deviations of the steps from one frame of a clip to the next.

    Attributes:
        shift: share of the background's shorter side.
        zoom: of the logarithm of the scale.
        degrees: of the turn.
    """

    shift: float
    zoom: float
    degrees: float


STILL_MOTION, VIDEO_MOTION = Motion(0.12, 0.08, 7.0), Motion(0.05, 0.03, 2.0)


@dataclass(frozen=True)
class Cutout:
    """An object with transparent surroundings.

    Attributes:
        patches: of a picture one, of a video T, (h,w,4) float32: RGB times opacity in 0..255, opacity in 0..1.
        motion: how far it is moved beside its own motion.
    """

    patches: list[np.ndarray]
    motion: Motion


@dataclass(frozen=True)
class Layer:
    """What is pasted into the frames of a clip.

    Attributes:
        patches: T or one, see `Cutout`, at the size and in the light of the background.
        matrices: T times (3,3), pixel of the patch -> pixel of the frame.
        label: its id in the masks; 0 for what is no object.
        behind: whether the background's own objects cover it.
    """

    patches: list[np.ndarray]
    matrices: list[np.ndarray]
    label: int
    behind: bool


class Composites:
    """Composites of one clip with objects of others.

    Args:
        sources: what objects are cut out of; pictures and videos have equal chances where both are given.
        clip_length: number T of frames.
        num_objects: number K of mask planes.
        render: see `pack_clip`.

    Raises:
        ValueError: there is no source.
    """

    def __init__(
        self, sources: Sequence[Source], *, clip_length: int = 3, num_objects: int = 2, render: bool = True
    ) -> None:
        groups = ([source for source in sources if isinstance(source, kind)] for kind in (StaticDataset, VOSDataset))
        self.groups = [
            [(source, index) for source in group for index in range(len(source))] for group in groups if group
        ]
        if not self.groups:
            raise ValueError("composites need a source of cut-outs")
        self.clip_length, self.num_objects, self.render = clip_length, num_objects, render

    def sample(self, background: Source, index: int) -> Sample:
        """A clip of the background with one to three pasted objects, the sample described at `pack_clip`.

        The objects are drawn from the pasted ones and the background's own that the first view shows; as in
        `VOSDataset`, a clip whose first view shows none teaches that an empty mask stays empty.

        Raises:
            InputError: a file cannot be read, or no object can be cut out.
        """
        frames, ids = background.read_clip(index)
        if len(frames) == 1:
            frames, ids = frames * self.clip_length, ids * self.clip_length
        frames, ids = paste(frames, ids, self._draw_layers(frames, ids))
        for _ in range(ATTEMPTS):
            views = background.draw_views(frames[0].shape[:2], self.clip_length)
            seen = torch.from_numpy(np.stack([render_mask(mask, view) for mask, view in zip(ids, views, strict=True)]))
            areas = torch.bincount(seen[0].flatten(), minlength=2)[1:]
            candidates = (areas > LEAST_VISIBLE * seen[0].numel()).nonzero().flatten().add(1).tolist()
            if candidates:
                break
        masks, selector = object_planes(seen, candidates, self.num_objects)
        return pack_clip(frames, views, masks, selector, f"composite on {background.name(index)}", render=self.render)

    def _draw_layers(self, frames: list[np.ndarray], ids: list[np.ndarray]) -> list[Layer]:
        """What is pasted, the lowest first."""
        taken = set(np.unique(np.stack(ids)).tolist())
        free = [label for label in range(1, LABELS + 1) if label not in taken]
        layers = []
        for number in range(1 + int(torch.randint(MOST_PASTED, ()))):
            cutout = self._draw_cutout(FIRST_ATTEMPTS if number == 0 else ATTEMPTS)
            if cutout is None and number == 0:
                raise InputError(
                    f"no object could be cut out in {FIRST_ATTEMPTS} draws, all are tiny or touch the border of their "
                    "pictures; add data with whole objects, or do without composites"
                )
            if cutout is None or not free:
                continue
            is_object = number == 0 or not chance(BACKGROUND)
            layers.append(place(cutout, frames, free.pop(0) if is_object else 0))
            if is_object and chance(LOOK_ALIKE):
                layers.append(place(cutout, frames, 0))
        layers = [layers[i] for i in torch.randperm(len(layers)).tolist()]
        return sorted(layers, key=lambda layer: not layer.behind)

    def _draw_cutout(self, attempts: int) -> Cutout | None:
        """An object of a random source, None where the attempts find none that can be cut out."""
        for _ in range(attempts):
            entries = self.groups[int(torch.randint(len(self.groups), ()))]
            source, index = entries[int(torch.randint(len(entries), ()))]
            frames, ids = source.read_clip(index)
            labels = np.unique(ids[0])[1:] if ids[0].min() == 0 else np.unique(ids[0])
            if len(labels):
                cutout = cut_out(frames, ids, int(labels[int(torch.randint(len(labels), ()))]))
                if cutout is not None:
                    return cutout
        return None


def cut_out(frames: Sequence[np.ndarray], ids: Sequence[np.ndarray], label: int) -> Cutout | None:
    """An object of a picture or of the frames of a video.

    Args:
        frames: RGB (H,W,3) uint8 of one size, one or T.
        ids: (H,W) uint8, one for each frame.
        label: of the object.

    Returns:
        The object in the window that holds it in all frames; None where it is too small or too large in the first
        frame, or touches the border of any.
    """
    masks = np.stack([mask == label for mask in ids])
    if not LEAST_AREA <= masks[0].mean() <= MOST_AREA:
        return None
    if any(edge.any() for edge in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])):
        return None
    rows, columns = np.flatnonzero(np.any(masks, axis=(0, 2))), np.flatnonzero(np.any(masks, axis=(0, 1)))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    patches = []
    for frame, mask in zip(frames, masks, strict=True):
        # The outermost pixels hold some of the old surroundings: the opacity falls within the object, not outside.
        opacity = np.clip(2 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0) - 0.8, 0, 1)[window][..., None]
        patches.append(np.concatenate([frame[window] * opacity, opacity], axis=2).astype(np.float32))
    return Cutout(patches, STILL_MOTION if len(patches) == 1 else VIDEO_MOTION)


def place(cutout: Cutout, frames: Sequence[np.ndarray], label: int) -> Layer:
    """Fit a cut-out to a background and draw its way through it.

    Args:
        cutout: of a picture or of T frames.
        frames: of the background, T of them, RGB (H,W,3) uint8.
        label: its id; 0 for what is no object.
    """
    height, width = frames[0].shape[:2]
    longer = max(cutout.patches[0].shape[:2])
    scale = min(between(*EXTENT) * min(height, width) / longer, MOST_ENLARGED)
    sides = [max(2, round(scale * side)) for side in cutout.patches[0].shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    patches = [cv2.resize(patch, sides, interpolation=method) for patch in cutout.patches]
    patches = match_blur(match_light(patches, frames[0]), frames[0])
    size = (sides[1], sides[0])
    return Layer(patches, draw_path(size, (height, width), len(frames), cutout.motion), label, chance(BEHIND))


def match_light(patches: Sequence[np.ndarray], frame: np.ndarray) -> list[np.ndarray]:
    """Patches with brightness, and less so colour, moved a random part of the way to the mean of a frame."""
    opacity = max(float(patches[0][..., 3].sum()), 1e-6)
    own = np.maximum(patches[0][..., :3].sum((0, 1)) / opacity, 1)
    ratio = np.maximum(frame.mean((0, 1)), 1) / own
    brightness = float(np.exp(np.log(ratio).mean()))
    part = between(0, 0.6)
    gain = np.clip(brightness**part * (ratio / brightness) ** (0.4 * part) * between(0.9, 1.1), 0.6, 1.6)
    lit = []
    for patch in patches:
        colours = np.minimum(patch[..., :3] * gain, 255 * patch[..., 3:])
        lit.append(np.concatenate([colours, patch[..., 3:]], axis=2).astype(np.float32))
    return lit


def match_blur(patches: Sequence[np.ndarray], frame: np.ndarray) -> list[np.ndarray]:
    """Patches as they are, or blurred until they are no sharper than a frame; opacity is blurred with them."""
    limit = sharpness(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), np.ones(frame.shape[:2], bool))
    inside = patches[0][..., 3] > 0.99
    blurred = list(patches)
    for blur in BLURS:
        if sharpness(cv2.cvtColor(blurred[0][..., :3], cv2.COLOR_RGB2GRAY), inside) <= limit:
            break
        blurred = [cv2.GaussianBlur(patch, (0, 0), blur) for patch in patches]
    return blurred


def sharpness(grey: np.ndarray, where: np.ndarray) -> float:
    """Mean second over mean first derivative of a grey picture (H,W), over the pixels of a mask (H,W); 0 if flat."""
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))[where].sum()
    return float(np.abs(cv2.Laplacian(grey, -1))[where].sum() / slope) if slope > 0 else 0.0


def draw_path(size: Size, canvas: Size, count: int, motion: Motion) -> list[np.ndarray]:
    """A random way of a patch through the frames of a clip; it starts within the first frame.

    With probability `LEAVES` the patch is beyond a side of the picture for some of the later frames, from which it
    may return.

    Args:
        size: height and width of the patch.
        canvas: height and width of the frames.
        count: number T of frames.
        motion: size of the steps.

    Returns:
        T matrices (3,3), pixel of the patch -> pixel of the frame.
    """
    (height, width), shorter = size, min(canvas)
    away = range(0)
    if count > 1 and chance(LEAVES):
        first = 1 + int(torch.randint(count - 1, ()))
        away = range(first, first + 1 + int(torch.randint(count - first, ())))
    beyond = math.hypot(height, width)  # however it is turned, at twice its size
    outside = canvas[1] + beyond if chance(0.5) else -beyond
    mirror = flip(width) if chance(MIRRORED) else np.eye(3)
    x, y = (between(0.1, 0.9) * side for side in canvas[::-1])
    zoom, degrees = 0.0, motion.degrees * normal()
    matrices = []
    for number in range(count):
        turned = affine(size, degrees, float(np.clip(math.exp(zoom), 0.5, 2)), 0.0)
        centre = outside if number in away else x
        matrices.append(translation(centre - width / 2, y - height / 2) @ turned @ mirror)
        x, y = (value + motion.shift * shorter * normal() for value in (x, y))
        zoom, degrees = zoom + motion.zoom * normal(), degrees + motion.degrees * normal()
    return matrices


def paste(
    frames: Sequence[np.ndarray], ids: Sequence[np.ndarray], layers: Sequence[Layer]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Paste layers into the frames of a clip, the first lowest.

    Args:
        frames: RGB (H,W,3) uint8, T of them.
        ids: (H,W) uint8, T of them.
        layers: the pasted objects; each is in the ids where it is more opaque than not.

    Returns:
        New frames and ids, of the same shapes.
    """
    pictures, labels = [], []
    for number, (frame, mask) in enumerate(zip(frames, ids, strict=True)):
        picture, label = frame.astype(np.float32), mask.copy()
        own = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), 1.0)[..., None]
        for layer in layers:
            patch = layer.patches[number % len(layer.patches)]
            warped = cv2.warpAffine(patch, layer.matrices[number][:2], frame.shape[1::-1], flags=cv2.INTER_LINEAR)
            if layer.behind:
                warped = warped * (1 - own)
            opacity = warped[..., 3:]
            picture = picture * (1 - opacity) + warped[..., :3]
            label[opacity[..., 0] > 0.5] = layer.label
        pictures.append(picture.round().clip(0, 255).astype(np.uint8))
        labels.append(label)
    return pictures, labels
