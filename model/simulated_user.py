"""Somebody who knows the true mask: looks at a predicted one, and clicks, draws or boxes what is wrong with it.

For training, where every draw comes from torch's default generator, and for evaluation, where nothing is drawn
(`correct_by_click`, `correct_by_stroke`). Masks are (H, W), bool.
"""

import math

import cv2
import numpy as np
import torch

from model.interactive import Box, Click, Prompt, Stroke
from util.tensors import between, chance, normal

STRAIGHT = 3  # pixels by which a stroke may move aside from one column, or row, to the next
STROKE_RADIUS = (1.5, 8.0)  # pixels
LOOSE = (-0.03, 0.25)  # a side of a box lies this far outside, share of the object's height or width
FIRST = ("click", "clicks", "box", "box and click", "stroke", "mask")  # what a user may begin with ...
FIRST_CHANCES = (0.3, 0.2, 0.13, 0.07, 0.12, 0.18)  # ... and how often
STROKE, CENTRE, LARGEST = 0.25, 0.6, 0.75  # probabilities, for corrections in training
MOST_CLICKS = 12  # at the beginning
OFTEN = 0.75  # probability of one more of them


def correct_by_click(truth: np.ndarray, predicted: np.ndarray) -> Click | None:
    """A click where the largest error is farthest from its edge; None where there is no error."""
    region, missing = largest_error(truth, predicted)
    return None if region is None else Click(*farthest_point(region), positive=missing)


def correct_by_stroke(truth: np.ndarray, predicted: np.ndarray) -> Stroke | None:
    """A stroke along the largest error; None where there is no error."""
    region, missing = largest_error(truth, predicted)
    return None if region is None else stroke_along(region, positive=missing)


def largest_error(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """The connected region (H, W), bool, with the most wrong pixels, and whether these are missing, not surplus."""
    regions = error_regions(truth, predicted)
    return max(regions, key=lambda found: np.count_nonzero(found[0])) if regions else (None, False)


def error_regions(truth: np.ndarray, predicted: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """The largest connected region of missing pixels, and that of surplus ones, as far as there are any."""
    errors = ((truth & ~predicted, True), (predicted & ~truth, False))
    return [(_largest_part(error), missing) for error, missing in errors if error.any()]


def _largest_part(mask: np.ndarray) -> np.ndarray:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))


def depth_within(region: np.ndarray) -> np.ndarray:
    """Distance of a region's pixels from what is not in it, in pixels; the frame ends at its border, and so does it."""
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def farthest_point(region: np.ndarray) -> tuple[float, float]:
    """The point (x, y) of a region that is farthest from its edge, see `Click` for its coordinates."""
    row, column = np.unravel_index(np.argmax(depth_within(region)), region.shape)
    return float(column) + 0.5, float(row) + 0.5


def stroke_along(region: np.ndarray, *, positive: bool) -> Stroke:
    """A stroke through the middle of a region, along its longer side, as far as it goes without a jump."""
    depth = depth_within(region)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    upright = len(rows) > len(columns)
    across = depth if not upright else depth.T  # (across, along): the stroke has one point in each column
    middle, deepest = across.argmax(0), across.max(0)
    start = int(deepest.argmax())
    first = last = start
    while first > 0 and _goes_on(middle, deepest, first, first - 1):
        first -= 1
    while last + 1 < len(middle) and _goes_on(middle, deepest, last, last + 1):
        last += 1
    points = [(float(i) + 0.5, float(middle[i]) + 0.5) for i in range(first, last + 1)]
    radius = float(np.clip(deepest[start] / 2, *STROKE_RADIUS))
    return Stroke(tuple((y, x) if upright else (x, y) for x, y in points), positive, radius)


def _goes_on(middle: np.ndarray, deepest: np.ndarray, here: int, there: int) -> bool:
    return bool(deepest[there] > 0 and abs(int(middle[there]) - int(middle[here])) <= STRAIGHT)


def tight_box(truth: np.ndarray) -> Box:
    """The smallest box around a mask that is not empty."""
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    return Box(float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1)


def draw_beginning(truth: np.ndarray) -> tuple[list[Prompt], np.ndarray]:
    """What a training user begins with.

    Args:
        truth: not empty.

    Returns:
        Prompts, and the mask so far, (H, W) float32 in [0, 1]: empty, or one that tracking might have left behind, with
        a correction of it.
    """
    kind = FIRST[int(torch.multinomial(torch.tensor(FIRST_CHANCES), 1))]
    nothing = np.zeros(truth.shape, np.float32)
    if kind == "mask":
        before = spoil(truth)
        correction = draw_correction(truth, before)
        return [] if correction is None else [correction], before.astype(np.float32)
    if kind == "stroke":
        return [_draw_stroke(_largest_part(truth), positive=True)], nothing
    prompts: list[Prompt] = []
    if kind.startswith("box"):
        prompts.append(loose_box(truth))
    if kind.endswith("click"):
        prompts.append(_draw_click(_largest_part(truth), positive=True))
    if kind == "clicks":
        prompts.append(_draw_click(truth, positive=True))
        while len(prompts) < MOST_CLICKS and chance(OFTEN):
            positive = chance(0.5) or bool(truth.all())
            prompts.append(_draw_click(truth if positive else _draw_outside(truth), positive=positive))
    return prompts, nothing


def draw_correction(truth: np.ndarray, predicted: np.ndarray) -> Prompt | None:
    """What a training user says about a predicted mask: mostly about its largest error; None if there is none."""
    regions = error_regions(truth, predicted)
    if not regions:
        return None
    regions.sort(key=lambda found: -np.count_nonzero(found[0]))
    region, missing = regions[0] if chance(LARGEST) else regions[-1]
    draw = _draw_stroke if chance(STROKE) else _draw_click
    return draw(region, positive=missing)


def loose_box(truth: np.ndarray) -> Box:
    """A box around a mask that is not empty, each side a random distance outside, or a little inside."""
    tight = tight_box(truth)
    width, height = tight.x1 - tight.x0, tight.y1 - tight.y0
    left, top, right, bottom = (between(*LOOSE) for _ in range(4))
    return Box(tight.x0 - left * width, tight.y0 - top * height, tight.x1 + right * width, tight.y1 + bottom * height)


def spoil(truth: np.ndarray) -> np.ndarray:
    """A mask as tracking may leave it: moved a little, with parts missing or surplus."""
    height, width = truth.shape
    box = tight_box(truth)
    sides = box.x1 - box.x0, box.y1 - box.y0
    centre = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    matrix = cv2.getRotationMatrix2D(centre, 6 * normal(), math.exp(0.08 * normal()))
    matrix[:, 2] += np.array([0.06 * side * normal() for side in sides])
    spoilt = cv2.warpAffine(truth.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    for _ in range(int(torch.randint(4, ()))):
        at = (round(box.x0 + between(-0.2, 1.2) * sides[0]), round(box.y0 + between(-0.2, 1.2) * sides[1]))
        axes = (1 + round(between(0.05, 0.35) * sides[0]), 1 + round(between(0.05, 0.35) * sides[1]))
        cv2.ellipse(spoilt, at, axes, between(0, 180), 0, 360, int(chance(0.5)), -1)
    return spoilt > 0


def _draw_click(region: np.ndarray, *, positive: bool) -> Click:
    """A click in the middle of a region, or anywhere in it but near its edge."""
    if chance(CENTRE):
        return Click(*farthest_point(region), positive=positive)
    depth = depth_within(region)
    inner = np.flatnonzero(depth >= depth.max() / 3)
    row, column = divmod(int(inner[int(torch.randint(len(inner), ()))]), region.shape[1])
    return Click(column + 0.5, row + 0.5, positive=positive)


def _draw_outside(truth: np.ndarray) -> np.ndarray:
    """Where a negative click at the beginning may be: near the object, or anywhere outside."""
    if chance(0.5):
        return ~truth
    reach = 2 * round(0.15 * max(truth.shape)) + 1
    near = (cv2.blur(truth.astype(np.float32), (reach, reach), borderType=cv2.BORDER_CONSTANT) > 0) & ~truth
    return near if near.any() else ~truth


def _draw_stroke(region: np.ndarray, *, positive: bool) -> Stroke:
    """Part of a stroke along a region, as broad as it happens."""
    whole = stroke_along(region, positive=positive)
    count = len(whole.points)
    length = max(1, round(count * between(0.3, 1)))
    first = int(torch.randint(count - length + 1, ()))
    radius = min(whole.radius * between(0.6, 1.6), STROKE_RADIUS[1])
    return Stroke(whole.points[first : first + length], positive, radius)
