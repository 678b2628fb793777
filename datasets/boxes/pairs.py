"""Training pairs of a box tracker: template and search region of one object (DropTrack in DropMAE, CVPR 2023).

Everything random follows from the seed of a request, so that a pair is the same wherever and whenever it is made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from datasets.boxes.boxes import Box
from datasets.boxes.crops import box_in_crop, crop_around
from datasets.boxes.tracks import Track, TrackSet
from datasets.frame_files import read_frames
from datasets.train.clip_sampler import RequestedSamples, SampleRequest
from datasets.train.clips import Sample
from util.errors import InputError
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

PATCH = 16  # pixels of a token, by which a crop is found to lie outside
GREY, MIRROR = 0.05, 0.5  # how likely
BRIGHTNESS = (0.8, 1.2)
GAP_GROWTH = 5  # frames by which the largest gap grows while there is no search frame
UNREADABLE, UNUSABLE = 10, 1000  # draws in a row after which a sample is given up


@dataclass(frozen=True)
class View:
    """How templates or search regions are cut out.

    Attributes:
        size: side in pixels.
        factor: side of the crop by the square root of the box's area.
        centre_jitter: the crop's centre moves by up to half of this, times the square root of the box's area.
        scale_jitter: deviation of the logarithm by which width and height are stretched.
    """

    size: int
    factor: float
    centre_jitter: float = 0.0
    scale_jitter: float = 0.0


TEMPLATE, SEARCH = View(192, 2.0), View(384, 5.0, 4.5, 0.5)


class ViewDraws(NamedTuple):
    """What is drawn for one view: normal numbers for its sides, uniform ones in 0..1 for its centre, and its looks."""

    stretch: tuple[float, float]
    shift: tuple[float, float]
    brightness: float
    mirrored: bool


class Draws(NamedTuple):
    """What is drawn for a pair: whether both frames become grey or are mirrored, and what each view needs."""

    grey: bool
    mirrored: bool
    template: ViewDraws
    search: ViewDraws


def draw_looks(rng: np.random.Generator, *, learning: bool) -> Draws:
    """Draws as published; in validation brightness stays and no view is mirrored by itself."""

    def view() -> ViewDraws:
        stretch, shift = rng.standard_normal(2).tolist(), rng.random(2).tolist()
        brightness, mirrored = rng.uniform(*BRIGHTNESS), bool(rng.random() < MIRROR)
        return ViewDraws(tuple(stretch), tuple(shift), *((brightness, mirrored) if learning else (1.0, False)))

    return Draws(bool(rng.random() < GREY), bool(rng.random() < MIRROR), view(), view())


def jitter(box: Sequence[float], view: View, draws: ViewDraws) -> Box:
    """A box (x, y, width, height) with other sides and another centre, around which a crop is made."""
    width, height = (box[i + 2] * math.exp(view.scale_jitter * draws.stretch[i]) for i in (0, 1))
    reach = math.sqrt(width * height) * view.centre_jitter
    x, y = (box[i] + 0.5 * box[i + 2] + reach * (draws.shift[i] - 0.5) for i in (0, 1))
    return x - 0.5 * width, y - 0.5 * height, width, height


def cut_view(frame: np.ndarray, box: Box, view: View, draws: ViewDraws) -> tuple[Tensor, Tensor] | None:
    """The crop (3,S,S) uint8 and the box (4,) in shares of it; None where it would show nothing of the frame.

    Args:
        frame: RGB (H, W, 3), uint8.
        box: in pixels of the frame.
        view: what is cut out.
        draws: for it.
    """
    around = jitter(box, view, draws)
    crop = crop_around(around, view.factor, view.size)
    if crop is None:
        return None
    rows, columns = crop.outside(frame.shape[:2])
    if rows[::PATCH].all() or columns[::PATCH].all():
        return None
    pixels = torch.from_numpy(crop.cut(frame)).permute(2, 0, 1)
    shares = torch.tensor(box_in_crop(box, around, crop.resize_factor, view.size))
    if draws.mirrored:
        pixels, shares[0] = pixels.flip(2), 1 - shares[0] - shares[2]
    return pixels.contiguous(), shares


def make_pair(
    frames: Sequence[np.ndarray], boxes: Sequence[Box], draws: Draws, template: View, search: View
) -> Sample | None:
    """Template and search region of two frames; None where one would show nothing.

    Args:
        frames: two, RGB (H, W, 3), uint8.
        boxes: of the object, in their pixels.
        draws: for the pair.
        template, search: what is cut out of the first and of the second frame.

    Returns:
        template, search (3,S,S) uint8; template_box, search_box (4,) float32, x, y, width, height in shares of them;
        brightness (2,) float32, the factors by which both are yet to be multiplied.
    """
    sample: Sample = {"brightness": torch.tensor([draws.template.brightness, draws.search.brightness])}
    views = {"template": (template, draws.template), "search": (search, draws.search)}
    for frame, box, (name, (view, its_draws)) in zip(frames, boxes, views.items(), strict=True):
        x, y, width, height = map(float, box)
        if draws.grey:
            frame = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if draws.mirrored:
            frame, x = frame[:, ::-1], frame.shape[1] - 1 - x - width
        cut = cut_view(frame, (x, y, width, height), view, its_draws)
        if cut is None:
            return None
        sample[name], sample[f"{name}_box"] = cut
    return sample


def draw_causal(visible: np.ndarray, max_gap: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """Positions of a template and of a later search frame, both visible, less than `max_gap` frames apart.

    While there is no such search frame, both are drawn anew and may lie further apart.

    Args:
        visible: (T,), bool.
        max_gap: published 200.
        rng: source of the draws.

    Returns:
        The positions; None where fewer than two frames are visible.
    """
    seen = np.flatnonzero(visible)
    if len(seen) < 2:
        return None
    gap = max_gap
    while True:
        first = int(rng.choice(seen[:-1] if seen[-1] == len(visible) - 1 else seen))
        later = seen[(seen > first) & (seen < first + gap)]
        if len(later):
            return first, int(rng.choice(later))
        gap += GAP_GROWTH


class BoxPairs(RequestedSamples):
    """Pairs drawn from several sets, asked by `SampleRequest`; of a request only its seed counts.

    A sequence that cannot be read is replaced by another; what was wrong stands in the sample's `rejected`.

    Args:
        sets: what is drawn from.
        ratio: how often each is drawn from, in any unit.
        samples: pairs of an epoch.
        template, search: what is cut out of the frames.
        max_gap: see `draw_causal`.
        least_frames, least_visible: a video with fewer frames, or fewer in which its object is seen, is not used.
        learning: draw as in training; else as in validation.

    Raises:
        ValueError: there is no set, or not a ratio for each.
    """

    def __init__(
        self,
        sets: Sequence[TrackSet],
        ratio: Sequence[float],
        samples: int,
        *,
        template: View = TEMPLATE,
        search: View = SEARCH,
        max_gap: int = 200,
        least_frames: int = 20,
        least_visible: int = 5,
        learning: bool = True,
    ) -> None:
        if not sets or len(sets) != len(ratio) or sum(ratio) <= 0:
            raise ValueError(f"{len(sets)} sets of boxes and {len(ratio)} ratios do not fit")
        self.sets = list(sets)
        self._shares = np.array(ratio) / sum(ratio)
        self._samples = samples
        self._template, self._search = template, search
        self._max_gap, self._least_frames, self._least_visible = max_gap, least_frames, least_visible
        self._learning = learning

    def __len__(self) -> int:
        """Samples of an epoch."""
        return self._samples

    def __getitem__(self, request: SampleRequest) -> Sample:
        """What `make_pair` gives, with the `name` of the object and the messages `rejected`.

        Raises:
            InputError: ten sequences in a row cannot be read, or a thousand give no pair.
        """
        rng = np.random.default_rng(request.seed)
        rejected: list[str] = []
        for _ in range(UNUSABLE):
            try:
                sample = self._draw(rng)
            except InputError as error:
                rejected.append(str(error))
                if len(rejected) == UNREADABLE:
                    raise
                continue
            if sample is not None:
                return {**sample, "rejected": rejected}
        raise InputError(
            f"{UNUSABLE} draws in a row gave no video of at least {self._least_frames} frames in which its object is "
            f"seen in {self._least_visible}; check the data, or lower --least_frames and --least_visible"
        )

    def _draw(self, rng: np.random.Generator) -> Sample | None:
        tracks = self.sets[rng.choice(len(self.sets), p=self._shares)]
        objects = tracks[int(rng.integers(len(tracks)))]
        if not objects:
            return None
        track = objects[int(rng.integers(len(objects)))]
        positions = self._positions(track, tracks.is_video, rng)
        if positions is None:
            return None
        paths = [track.frame(t) for t in positions]
        frames = read_frames(paths) if paths[0] != paths[1] else read_frames(paths[:1]) * 2
        boxes = [track.boxes[t].tolist() for t in positions]
        sample = make_pair(frames, boxes, draw_looks(rng, learning=self._learning), self._template, self._search)
        return None if sample is None else {**sample, "name": track.name}

    def _positions(self, track: Track, is_video: bool, rng: np.random.Generator) -> tuple[int, int] | None:
        if not is_video:
            return (0, 0) if track.visible[0] else None
        if len(track.visible) < self._least_frames or track.visible.sum() < self._least_visible:
            return None
        return draw_causal(track.visible, self._max_gap, rng)


def collate_box_pairs(samples: Sequence[Sample]) -> Sample:
    """A batch: tensors are stacked, names are listed, messages about rejected files are put together."""
    listed = ("name", "rejected")
    batch = default_collate([{key: sample[key] for key in sample if key not in listed} for sample in samples])
    batch["name"] = [sample["name"] for sample in samples]
    batch["rejected"] = [message for sample in samples for message in sample["rejected"]]
    return batch


def box_pairs_to_device(batch: Sample, device: torch.device) -> dict[str, Tensor]:
    """What a step of the tracker takes.

    Returns:
        template (B,3,T,T) and search (B,3,S,S) float32, brightness changed, then normalised with ImageNet's mean and
        deviation; template_box and search_box (B,4) float32, x, y, width, height in shares of them.
    """
    mean, deviation = (torch.tensor(v, device=device).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    factors = batch["brightness"].to(device) / 255
    sent = {key: batch[key].to(device, non_blocking=True) for key in ("template_box", "search_box")}
    for number, key in enumerate(("template", "search")):
        pixels = batch[key].to(device, non_blocking=True).float() * factors[:, number].view(-1, 1, 1, 1)
        sent[key] = pixels.clamp_(max=1).sub_(mean).div_(deviation)
    return sent
