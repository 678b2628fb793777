"""How many clicks a mask takes: a simulated user clicks until the mask is good (NoC, as in RITM, ICIP 2022).

He clicks where the largest error is farthest from its edge, at most 20 times; a mask that is not good by then counts as
20 clicks. The network is measured beside OpenCV's GrabCut (Rother et al., SIGGRAPH 2004), which gets the same prompts.
"""

import csv
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from datasets.frame_files import read_frame
from datasets.mask_files import drop_void, list_pairs, match_size, read_ids
from datasets.train.static_dataset import StaticDataset, static_pairs
from evaluation.metrics import jaccard
from evaluation.report.pictures import contact_sheet
from inference.fast_form import for_inference
from model.interactive import Box, Click, ClickFeatures, ClickNetwork, Prompt, Stroke, render_prompts
from model.simulated_user import correct_by_click
from util.device import AUTOCAST, autocast
from util.errors import InputError
from util.files import atomic_path
from util.tensors import normalise

TARGETS = (0.8, 0.85, 0.9)  # IoU
MOST_CLICKS = 20
LEAST_AREA = 0.002  # of an object, share of its picture
GRABCUT_ITERATIONS = 5
GRABCUT_RADIUS = 5  # of a click, in pixels
GUESS_RADIUS = 45  # around a positive click, in pixels: what is probably the object as long as nothing else is known
SHOWN = (1, 3)  # clicks after which pictures show a mask, beside the last
WHITE, GREEN, RED = (255, 255, 255), (40, 220, 60), (235, 40, 40)


class Picture(NamedTuple):
    """A picture with masks, not yet read; of a set of stills, its number there."""

    name: str
    frame: Path
    mask: Path
    stills: StaticDataset | None = None
    number: int = 0

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """RGB (H,W,3) and ids (H,W), uint8.

        Raises:
            InputError: a file cannot be read, or their sizes differ.
        """
        if self.stills is not None:
            (frame,), (ids,) = self.stills.read_clip(self.number)
            return frame, ids
        frame = read_frame(self.frame)
        (ids,) = drop_void([match_size(read_ids(self.mask), frame.shape[:2], self.mask)])
        return frame, ids


class Case(NamedTuple):
    """An object, and what the clicks made of it.

    Attributes:
        name: of the object: its picture's, and its id.
        ious: after each click.
        masks: (H,W), bool, after each click.
        clicks: what was clicked.
        seconds: for the picture, before the first click, and for all clicks.
    """

    name: str
    ious: list[float]
    masks: list[np.ndarray]
    clicks: list[Click]
    seconds: tuple[float, float]

    def clicks_to(self, target: float) -> int:
        """Clicks until the IoU reaches a target; `MOST_CLICKS` if it does not."""
        return next((count for count, iou in enumerate(self.ious, 1) if iou >= target), MOST_CLICKS)


class Method(ABC):
    """Something that makes a mask of prompts."""

    name: str

    @abstractmethod
    def begin(self, frame: np.ndarray) -> None:
        """Take a frame, RGB (H,W,3) uint8, about which the next prompts are."""

    @abstractmethod
    def segment(self, prompts: Sequence[Prompt], previous: np.ndarray | None) -> np.ndarray:
        """All prompts so far and the result before the last, None before the first -> probabilities (H,W)."""


class ByNetwork(Method):
    """A `ClickNetwork`, which is brought into the form for inference.

    Args:
        network: on its device.
        amp: one of `AUTOCAST`.
    """

    name = "network"

    def __init__(self, network: ClickNetwork, amp: str = "off") -> None:
        self.device = next(network.parameters()).device
        self.network = for_inference(network, self.device, amp=AUTOCAST[amp])
        self.amp = amp
        self._features: ClickFeatures | None = None

    @torch.inference_mode()
    def begin(self, frame: np.ndarray) -> None:
        with autocast(self.device, self.amp):
            self._features = self.network.encode(normalise(frame)[None].to(self.device))

    @torch.inference_mode()
    def segment(self, prompts: Sequence[Prompt], previous: np.ndarray | None) -> np.ndarray:
        assert self._features is not None, "a frame comes first"
        planes = render_prompts(prompts, self._features.size).to(self.device)
        before = None if previous is None else torch.from_numpy(previous)[None, None].to(self.device)
        with autocast(self.device, self.amp):
            logits = self.network.segment(self._features, planes, before)
        return logits[0, 0].sigmoid().cpu().numpy()


class ByGrabCut(Method):
    """OpenCV's GrabCut: what was clicked, drawn or boxed out is certain, the result before is its first guess."""

    name = "GrabCut"
    frame: np.ndarray

    def begin(self, frame: np.ndarray) -> None:
        self.frame = np.ascontiguousarray(frame[..., ::-1])

    def segment(self, prompts: Sequence[Prompt], previous: np.ndarray | None) -> np.ndarray:
        labels = np.full(self.frame.shape[:2], cv2.GC_PR_BGD, np.uint8)
        boxes = [prompt for prompt in prompts if isinstance(prompt, Box)]
        if boxes:
            box = boxes[-1]
            labels[:] = cv2.GC_BGD
            rows, columns = (slice(max(0, round(a)), max(0, round(b))) for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
            labels[rows, columns] = cv2.GC_PR_FGD
        elif previous is None:
            for click in (prompt for prompt in prompts if isinstance(prompt, Click) and prompt.positive):
                cv2.circle(labels, (int(click.x), int(click.y)), GUESS_RADIUS, cv2.GC_PR_FGD, -1)
        if previous is not None:
            free = labels != cv2.GC_BGD
            labels[free] = np.where(previous > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)[free]
        for prompt in prompts:
            if isinstance(prompt, Box):
                continue
            value = cv2.GC_FGD if prompt.positive else cv2.GC_BGD
            points = prompt.points if isinstance(prompt, Stroke) else ((prompt.x, prompt.y),)
            radius = round(prompt.radius) if isinstance(prompt, Stroke) else GRABCUT_RADIUS
            pixels = [(int(x), int(y)) for x, y in points]
            for start, end in zip(pixels, pixels[1:] or pixels, strict=False):
                cv2.line(labels, start, end, value, 2 * radius)
        found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if found.any() and not found.all():
            models = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.setRNGSeed(0)
            cv2.grabCut(self.frame, labels, None, *models, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
            found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return found.astype(np.float32)


def click_until_good(
    method: Method, truth: np.ndarray, name: str = "", *, target: float = TARGETS[-1], encoding: float = 0.0
) -> Case:
    """Click at most `MOST_CLICKS` times, until the mask reaches an IoU.

    Args:
        method: that has begun with the frame.
        truth: (H,W), bool, not empty.
        name: of the object.
        target: IoU at which to stop.
        encoding: seconds that the method took to begin.
    """
    ious: list[float] = []
    masks: list[np.ndarray] = []
    clicks: list[Click] = []
    previous, seconds = None, 0.0
    mask = np.zeros_like(truth)
    while len(clicks) < MOST_CLICKS and (click := correct_by_click(truth, mask)) is not None:
        clicks.append(click)
        since = time.perf_counter()
        previous = method.segment(clicks, previous)
        seconds += time.perf_counter() - since
        mask = previous > 0.5
        ious.append(jaccard(truth, mask))
        masks.append(mask)
        if ious[-1] >= target:
            break
    return Case(name, ious, masks, clicks, (encoding, seconds))


def click_objects(
    methods: Sequence[Method], frame: np.ndarray, truths: Sequence[tuple[str, np.ndarray]]
) -> Iterator[dict[str, Case]]:
    """For each object of a frame, named masks (H,W), bool: what came of it by each method."""
    encoding = {}
    for method in methods:
        since = time.perf_counter()
        method.begin(frame)
        encoding[method.name] = time.perf_counter() - since
    for name, truth in truths:
        yield {m.name: click_until_good(m, truth, name, encoding=encoding[m.name]) for m in methods}


def find_stills(folder: Path, listed: Sequence[str] | None) -> list[Picture]:
    """The pictures of a set, <name>.jpg beside <name>.png.

    Args:
        folder: the set.
        listed: pictures to use, as <set>/<name>; those of other sets do not count. None takes all.

    Raises:
        InputError: there are none, or one that is listed does not exist.
    """
    names = {picture.relative_to(folder.parent).with_suffix("").as_posix() for picture, _ in static_pairs(folder)}
    wanted = names if listed is None else {name for name in listed if name.startswith(f"{folder.name}/")}
    if unknown := sorted(wanted - names):
        raise InputError(f"{folder} has no picture {unknown[0]} with a mask; check --list")
    if not wanted and names:
        raise InputError(f"--list names no picture of {folder}, such as {min(names)}; check --list")
    stills = StaticDataset(folder, num_objects=255, left_out=names - wanted)
    return [
        Picture(stills.name(i), *files, stills, i)
        for i, files in enumerate(zip(stills.pictures, stills.masks, strict=True))
    ]


def find_frames(tree: Path, videos: Collection[str], every: int) -> list[Picture]:
    """Every so many-th frame of annotated videos, the first among them.

    Args:
        tree: with JPEGImages/480p and Annotations/480p.
        videos: to use; none takes all.
        every: 1 for all frames.

    Raises:
        InputError: a video has no frames with masks.
    """
    frames, masks = tree / "JPEGImages/480p", tree / "Annotations/480p"
    if not masks.is_dir():
        raise InputError(f"{tree} has no folder Annotations/480p; give a DAVIS tree, such as data/DAVIS/2016")
    pictures = []
    for video in videos or sorted(path.name for path in masks.iterdir() if path.is_dir()):
        pairs = list_pairs(frames / video, masks / video)
        if not pairs:
            raise InputError(f"{frames / video} and {masks / video} hold no frame with a mask; check --videos")
        pictures += [Picture(f"{video}/{frame.stem}", frame, mask) for frame, mask in pairs[::every]]
    return pictures


def objects_of(picture: Picture, ids: np.ndarray, most: int | None = None) -> list[tuple[str, np.ndarray]]:
    """The objects of a picture, named masks (H,W), bool, without those that cover less than `LEAST_AREA` of it.

    Args:
        picture: where the ids are from.
        ids: (H,W).
        most: of several objects so many, evenly spread from the largest to the smallest; None for all.
    """
    areas = np.bincount(ids.ravel())
    by_size = np.argsort(-areas, kind="stable")
    large = [int(label) for label in by_size if label > 0 and areas[label] >= LEAST_AREA * ids.size]
    if most is not None and len(large) > most:
        large = [large[i] for i in np.linspace(0, len(large) - 1, most + 2).round().astype(int)[1:-1]]
    return [(f"{picture.name}:{label}", ids == label) for label in large]


def table(cases: dict[str, list[Case]]) -> str:
    """What each method needed, as lines of text."""
    heads = [*(f"NoC@{100 * target:.0f}" for target in TARGETS), "not 85", "not 90", "IoU@1", "s/frame", "s/click"]
    lines = [f"{'':10}{'objects':>8}" + "".join(f"{head:>9}" for head in heads)]
    for name, found in cases.items():
        counts = [np.mean([case.clicks_to(target) for case in found]) for target in TARGETS]
        missed = [np.mean([max(case.ious) < target for case in found]) for target in TARGETS[1:]]
        clicks = sum(len(case.clicks) for case in found)
        seconds = np.mean([case.seconds[0] for case in found]), sum(case.seconds[1] for case in found) / clicks
        lines.append(
            f"{name:10}{len(found):8}"
            + "".join(f"{value:9.2f}" for value in counts)
            + "".join(f"{100 * value:8.0f}%" for value in missed)
            + f"{100 * np.mean([case.ious[0] for case in found]):9.1f}"
            + "".join(f"{value:9.2f}" for value in seconds)
        )
    return "\n".join(lines)


def write_cases(path: Path, cases: dict[str, list[Case]]) -> None:
    """One line for each object and method: clicks to each target, and the IoU after each click."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "object", *(f"noc_{100 * t:.0f}" for t in TARGETS), "ious"])
        for name, found in cases.items():
            for case in found:
                ious = " ".join(f"{iou:.4f}" for iou in case.ious)
                writer.writerow([name, case.name, *(case.clicks_to(t) for t in TARGETS), ious])


def choose_shown(cases: Sequence[Case], count: int = 5) -> tuple[list[int], list[int]]:
    """Which cases are typical, around the middle, and which are bad, the worst: by clicks to 0.9, then by IoU."""
    order = sorted(range(len(cases)), key=lambda i: (cases[i].clicks_to(TARGETS[-1]), -max(cases[i].ious)))
    first = max(0, (len(order) - count) // 2)
    typical = order[first : first + count]
    return typical, [i for i in order[-count:] if i not in typical]


def show_cases(shown: Sequence[tuple[np.ndarray, np.ndarray, Case]]) -> np.ndarray:
    """A sheet with a row for each case: the true mask, the masks after `SHOWN` clicks, and the last, with the clicks.

    Args:
        shown: frame (H,W,3) uint8, true mask (H,W) bool, and the case.

    Returns:
        RGB, uint8.
    """
    size = [max(frame.shape[side] for frame, _, _ in shown) for side in (0, 1)]
    frames, ids, captions = [], [], []
    for frame, truth, case in shown:
        steps = [min(count, len(case.clicks)) for count in SHOWN] + [len(case.clicks)]
        masks = [truth, *(case.masks[count - 1] for count in steps)]
        texts = [
            case.name,
            *(f"{count} {'click' if count == 1 else 'clicks'}: {100 * case.ious[count - 1]:.0f}" for count in steps),
        ]
        for mask, text, count in zip(masks, texts, (0, *steps), strict=True):
            marked = mark_clicks(frame, case.clicks[:count])
            border = [(0, size[0] - frame.shape[0]), (0, size[1] - frame.shape[1])]
            frames.append(np.pad(marked, [*border, (0, 0)], constant_values=255))
            ids.append(np.pad(mask.astype(np.uint8), border))
            captions.append(text)
    return contact_sheet(frames, ids, captions, columns=2 + len(SHOWN), width=260)


def mark_clicks(frame: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
    """A frame (H,W,3), uint8, with a green disk for each positive click and a red one for each negative."""
    marked, radius = frame.copy(), max(3, round(0.012 * max(frame.shape[:2])))
    for click in clicks:
        at = int(click.x), int(click.y)
        cv2.circle(marked, at, radius + 2, WHITE, -1, cv2.LINE_AA)
        cv2.circle(marked, at, radius, GREEN if click.positive else RED, -1, cv2.LINE_AA)
    return marked
