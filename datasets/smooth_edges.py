"""Masks whose edges were smoothed (anti-aliased, resized, blurred, compressed): their edge values are no objects."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from util.errors import InputError

SOLID_SHARE = 0.25
MANY_VALUES = 10
REACH, LONG_REACH = 4, 12
OVERSHOOT = 0.15
COLOUR_TOLERANCE = 12.0
LEAST_MIXED = 0.6
LEAST_EDGE, WHOLE_EDGE = 0.1, 0.25
SEVERAL = 3
FEW_SOLIDS, MOST_SOLIDS, MOSAIC = 8, 40, 6

_SQUARE = np.ones((3, 3), np.uint8)


class SmoothMaskError(InputError):
    """A mask whose edges were smoothed, so that their values are no ids."""


@dataclass(frozen=True)
class SmoothEdges:
    """What smoothing made of a mask.

    Attributes:
        where: the smoothed pixels, (H, W), bool.
        mixed: their values, ascending.
        solid: values of areas, ascending.
        areas: for each solid value the pixels that have only their like around them, (S, H, W), bool.
        colours: of all values, (V, C), float.
    """

    where: np.ndarray
    mixed: np.ndarray
    solid: np.ndarray
    areas: np.ndarray
    colours: np.ndarray

    def snap(self, labels: np.ndarray) -> np.ndarray:
        """The mask (H, W) with each smoothed pixel given to the most similar of the solid values around it."""
        values = labels[self.where]
        cost = np.linalg.norm(self.colours[values][:, None] - self.colours[self.solid][None], axis=2)
        for reach in (LONG_REACH, REACH, 2):
            near = _near(self.areas, self.where, reach)
            cost += np.where(near | ~near.any(1, keepdims=True), 0, 1e6)
        snapped = labels.copy()
        snapped[self.where] = self.solid[cost.argmin(1)]
        return snapped


def find_smooth_edges(labels: np.ndarray, colours: np.ndarray | None = None) -> SmoothEdges | None:
    """What smoothing left in a mask; None where its values are all meant.

    A value is solid if a quarter of its pixels have only their like around them. Others come from smoothing if on most
    of their pixels they lie between two solid values that are near, and if several such values, or one that follows
    the whole border, make up the edges. Small and thin objects are no mixtures of what surrounds them.

    Args:
        labels: (H, W), uint8 or uint16.
        colours: what is mixed, of the values 0..V-1, (V, C); by default the values themselves.
    """
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    present = np.flatnonzero(sizes)
    if len(present) < SEVERAL:
        return None
    low, high = cv2.erode(labels, _SQUARE), cv2.dilate(labels, _SQUARE)
    is_inner = low == high
    edge = max(1, int(np.count_nonzero(~is_inner)))
    inner = np.bincount(labels[is_inner], minlength=count)
    is_solid = inner[present] >= SOLID_SHARE * sizes[present]
    solid, thin = present[is_solid], present[~is_solid]
    is_middle = (low < labels) & (labels < high)
    has_rims = colours is None and is_middle.sum() >= LEAST_EDGE * edge
    if len(solid) < 2 or (len(thin) == 0 and not has_rims):
        return None
    solid = np.sort(solid[np.argsort(sizes[solid])[-MOST_SOLIDS:]])
    areas = np.stack([(labels == value) & is_inner for value in solid])
    table = np.arange(count, dtype=float)[:, None] if colours is None else np.asarray(colours, float)
    is_many = len(thin) >= MANY_VALUES
    where = np.isin(labels, thin)
    is_mixed, can_mix = _mixtures(labels, where, solid, areas, table, is_many)
    if colours is None and not is_many:
        is_mixed &= is_middle[where]
    hits = np.bincount(labels[where], weights=is_mixed, minlength=count)
    mixed = thin[hits[thin] >= LEAST_MIXED * sizes[thin]]
    if sizes[mixed].sum() >= (LEAST_EDGE if len(mixed) >= SEVERAL else WHOLE_EDGE) * edge:
        if len(solid) > FEW_SOLIDS and len(mixed) < MOSAIC * len(solid):  # a mosaic of many small objects
            return None
        mixed = np.union1d(mixed, thin[can_mix[thin] & (inner[thin] == 0)])
        return SmoothEdges(np.isin(labels, mixed), mixed, solid, areas, table)
    if has_rims and len(present) <= FEW_SOLIDS:
        is_mixed, _ = _mixtures(labels, is_middle, solid, areas, table, False)
        if is_mixed.sum() >= LEAST_EDGE * edge:
            where = is_middle.copy()
            where[is_middle] = is_mixed
            return SmoothEdges(where, np.unique(labels[where]), solid, areas, table)
    return None


def find_edges(picture: Image.Image, labels: np.ndarray) -> SmoothEdges | None:
    """What smoothing left in a grey or palette picture with these values, (H, W).

    In a palette picture it may have been the ids or the colours that were mixed.
    """
    edges = find_smooth_edges(labels)
    if edges is None and picture.mode == "P":
        colours = np.zeros((256, 3))
        known = np.array(picture.getpalette("RGB"), float).reshape(-1, 3)[:256]
        colours[: len(known)] = known
        edges = find_smooth_edges(labels, colours)
    return edges


def smooth_mask_error(path: Path, edges: SmoothEdges, remedy: str = "export it without smoothing") -> SmoothMaskError:
    """Why a mask with smoothed edges is refused."""
    solid = [", ".join(f"{part:g}" for part in edges.colours[value]) for value in edges.solid[:5]]
    values = "values" if edges.colours.shape[1] == 1 else "colours"
    more = ", ..." if len(edges.solid) > 5 else ""
    solids = ("; " if edges.colours.shape[1] > 1 else ", ").join(solid)
    return SmoothMaskError(
        f"mask {path} has smoothed edges: {len(edges.mixed)} of its {values} lie only along edges, between the"
        f" {len(edges.solid)} of its areas ({solids}{more}), and are no objects; {remedy}"
    )


def _mixtures(
    labels: np.ndarray, where: np.ndarray, solid: np.ndarray, areas: np.ndarray, table: np.ndarray, is_many: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel in `where` whether two areas near it mix to its value, (N,); and for each value whether any do."""
    values = labels[where]
    near = _near(areas, where, LONG_REACH if is_many else REACH)
    is_mixed, can_mix, found = np.zeros(len(values), bool), np.zeros(len(table), bool), np.unique(values)
    for a, b in combinations(range(len(solid)), 2):
        possible = np.zeros(len(table), bool)
        possible[found] = _lies_between(table[found], table[solid[a]], table[solid[b]], OVERSHOOT if is_many else 0)
        can_mix |= possible
        is_mixed |= possible[values] & near[:, a] & near[:, b]
    return is_mixed, can_mix


def _near(areas: np.ndarray, where: np.ndarray, reach: int) -> np.ndarray:
    """For each pixel in `where` whether an area is within reach, (N, S), bool."""
    square = np.ones((2 * reach + 3, 2 * reach + 3), np.uint8)
    return np.stack([cv2.dilate(area.astype(np.uint8), square)[where] > 0 for area in areas], axis=1)


def _lies_between(values: np.ndarray, a: np.ndarray, b: np.ndarray, overshoot: float) -> np.ndarray:
    """Which of the colours (N, C) are mixtures of two others."""
    way = b - a
    length = max(float(way @ way), 1e-9)
    place = (values - a) @ way / length
    distance = np.linalg.norm(values - a - place[:, None] * way, axis=1)
    inside = (place > -overshoot) & (place < 1 + overshoot) & (place != 0) & (place != 1)
    return inside & (distance <= COLOUR_TOLERANCE)
