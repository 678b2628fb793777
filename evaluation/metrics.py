"""The DAVIS measures: region similarity J, contour accuracy F and their statistics over time.

Equal to the DAVIS toolkit (davis2017-evaluation); `statistics` is also right beyond 255 frames, where the toolkit's
bin edges overflow.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

RECALL_THRESHOLD = 0.5
DECAY_BINS = 4
BOUND, ADAPTIVE_SHARE = 0.008, 0.1  # of the image diagonal, of the root of an object's area


class Statistics(NamedTuple):
    """Mean, recall (share of frames above 0.5) and decay (first quarter minus last) of a measure over time."""

    mean: float
    recall: float
    decay: float


def jaccard(gt: np.ndarray, seg: np.ndarray, void: np.ndarray | None = None) -> float:
    """Region similarity J: intersection over union, 1 when both masks are empty.

    Args:
        gt, seg: ground truth and segmentation, shape (H, W); non-zero is object.
        void: pixels to ignore, shape (H, W), or None.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    gt, seg, *ignored = _as_masks(gt, seg, void)
    intersection, union = gt & seg, gt | seg
    for pixels in ignored:
        intersection &= ~pixels
        union &= ~pixels
    area = np.count_nonzero(union)
    return np.count_nonzero(intersection) / area if area else 1.0


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Pixels that differ from their right, lower or lower right neighbour, shape (H, W), bool.

    Neighbours outside the image are not compared, so that a full mask has no boundary.
    """
    (mask,) = _as_masks(mask)
    boundary = np.zeros_like(mask)
    boundary[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    boundary[:-1] |= mask[:-1] ^ mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def boundary_f(gt: np.ndarray, seg: np.ndarray, void: np.ndarray | None = None, bound: float = BOUND) -> float:
    """Contour accuracy F: harmonic mean of the boundary pixels' precision and recall.

    A boundary pixel is matched when the other boundary comes as close as `bound`. F is 1 when neither mask has a
    boundary, and 0 when only one has.

    Args:
        gt, seg: ground truth and segmentation, shape (H, W); non-zero is object.
        void: pixels that are taken out of both masks first, shape (H, W), or None.
        bound: the largest distance; below 1 a share of the image diagonal (rounded up), else in pixels.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    gt, seg, *ignored = _as_masks(gt, seg, void)
    radius = bound if bound >= 1 else math.ceil(bound * math.hypot(*gt.shape))
    crop = _box_around(gt | seg)
    gt, seg = gt[crop], seg[crop]
    for pixels in ignored:
        gt, seg = gt & ~pixels[crop], seg & ~pixels[crop]
    gt, seg = boundary_map(gt), boundary_map(seg)
    gt_pixels, seg_pixels = np.count_nonzero(gt), np.count_nonzero(seg)
    if not gt_pixels or not seg_pixels:
        return float(gt_pixels == seg_pixels)
    disk = _disk(radius)
    precision = np.count_nonzero(seg & _dilate(gt, disk)) / seg_pixels
    recall = np.count_nonzero(gt & _dilate(seg, disk)) / gt_pixels
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def adaptive_bound(gt: np.ndarray) -> float:
    """How far a boundary may lie from the true one if small objects are to be judged strictly, in pixels, at least 1.

    The smaller of 0.008 of the image diagonal and 0.1 of the root of the object's area, the latter rounded up; the
    diagonal's share where the object is absent (MOSE v2, arXiv:2508.05630, equation 1).

    Args:
        gt: ground truth, shape (H, W); non-zero is object.
    """
    widest = BOUND * math.hypot(*gt.shape)
    area = np.count_nonzero(gt)
    return max(1.0, min(widest, math.ceil(ADAPTIVE_SHARE * math.sqrt(area))) if area else widest)


def statistics(values: np.ndarray) -> Statistics:
    """Mean, recall and decay of one object's measure over the frames of a sequence.

    NaN is left out of mean and decay and counts as a miss in recall. The quarters of the decay share their end frames.

    Args:
        values: the measure per frame, shape (T,), T >= 1.

    Raises:
        ValueError: there are no values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"statistics need a list of at least one value, got shape {values.shape}")
    edges = np.round(np.linspace(1, len(values), DECAY_BINS + 1) + 1e-10).astype(np.int64) - 1
    first, last = values[: edges[1] + 1], values[edges[-2] :]
    return Statistics(_mean(values), float(np.mean(values > RECALL_THRESHOLD)), _mean(first) - _mean(last))


def _mean(values: np.ndarray) -> float:
    return math.nan if np.isnan(values).all() else float(np.nanmean(values))


def _as_masks(*given: np.ndarray | None) -> list[np.ndarray]:
    """Those masks that are given, as bool."""
    masks = [np.asarray(mask).astype(bool, copy=False) for mask in given if mask is not None]
    shapes = [mask.shape for mask in masks]
    if len(shapes[0]) != 2 or len(set(shapes)) != 1:
        raise ValueError(f"masks must have one common shape (H, W), got {shapes}")
    return masks


def _box_around(mask: np.ndarray) -> tuple[slice, slice]:
    """The box of a mask with one more pixel on each side, which holds every boundary pixel of any part of the mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)


def _disk(radius: float) -> np.ndarray:
    offsets = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def _dilate(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.view(np.uint8), element).view(bool)
