"""What J&F cost, beside full frames in floating point."""

import argparse
import math
import time
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.synthetic.clips import make_clip
from evaluation.metrics import boundary_f, jaccard
from util.numbers import pixels, positive

Pair = tuple[np.ndarray, np.ndarray]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command line of `benchmark.py score`."""
    command.add_argument("--size", type=pixels, nargs=2, metavar=("H", "W"), default=[480, 854])
    command.add_argument("--frames", type=positive, default=20, help="of each of three made videos (%(default)s)")


def made_pairs(args: argparse.Namespace) -> Iterator[Pair]:
    """True masks of one object and the same masks moved by some pixels, bool (H,W)."""
    height, width = args.size
    for seed in range(3):
        _, ids = make_clip(seed, args.frames, height, width, 1)
        for frame in ids:
            yield frame == 1, np.roll(frame == 1, (3, 5), (0, 1))


def plain_j_and_f(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """J and F of whole frames in float64."""
    truth, found = truth.astype(np.float64), found.astype(np.float64)
    union = np.maximum(truth, found).sum()
    region = np.minimum(truth, found).sum() / union if union else 1.0
    radius = math.ceil(0.008 * math.hypot(*truth.shape))
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)
    edges = [_edges(mask) for mask in (truth, found)]
    if not edges[0].sum() or not edges[1].sum():
        return region, float(edges[0].sum() == edges[1].sum())
    near = [cv2.dilate(edge, disk) for edge in edges]
    precision = (edges[1] * near[0]).sum() / edges[1].sum()
    recall = (edges[0] * near[1]).sum() / edges[0].sum()
    return region, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _edges(mask: np.ndarray) -> np.ndarray:
    below, right, both = (np.pad(mask, ((0, y), (0, x)), mode="edge")[y:, x:] for y, x in ((1, 0), (0, 1), (1, 1)))
    return np.clip(abs(mask - below) + abs(mask - right) + abs(mask - both), 0, 1)


def product_j_and_f(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """J and F as the product has them."""
    return jaccard(truth, found), boundary_f(truth, found)


def run(args: argparse.Namespace) -> None:
    """CPU seconds of both for the same masks, and how far their results lie apart."""
    pairs = list(made_pairs(args))
    seconds: dict[str, float] = {}
    results: dict[str, np.ndarray] = {}
    functions = {"full frames, float64": plain_j_and_f, "cropped, uint8": product_j_and_f}
    for name, function in functions.items():
        function(*pairs[0])
        start = time.process_time()
        results[name] = np.array([function(*pair) for pair in pairs])
        seconds[name] = time.process_time() - start
        print(f"{name:24}{1000 * seconds[name] / len(pairs):8.2f} ms of CPU for a mask")
    plain, ours = seconds
    apart = abs(results[plain] - results[ours]).max()
    print(f"{seconds[plain] / seconds[ours]:.1f} times faster; J and F differ by {apart:.1e} at most")
