"""Which frames a propagation visits and for which objects, and how the results of two sides are blended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Span:
    """Frames between which an object is propagated.

    Attributes:
        start: the frame with its mask.
        end: the next frame on which it was corrected; None where the video ends before one.
    """

    start: int
    end: int | None

    def nearness(self, index: int) -> float:
        """How near the start is, beside the end: 1 at the start, 0 at the end, and 1 anywhere where there is none."""
        return 1.0 if self.end is None else abs(self.end - index) / abs(self.end - self.start)


@dataclass(frozen=True)
class Visit:
    """A frame that a propagation comes to.

    Attributes:
        index: of the frame.
        begins: whether the memory starts anew here, from the masks of this frame.
        spans: of each object that is propagated to it.
    """

    index: int
    begins: bool
    spans: Mapping[int, Span]


def plan(
    count: int, corrected: Mapping[int, frozenset[int]], starts: Mapping[int, frozenset[int]], step: int
) -> Iterator[Visit]:
    """The visits of one sweep through a video, as few as there are frames to be segmented.

    An object is propagated from each frame of `starts` that has it up to the next frame on which it was corrected.

    Args:
        count: frames of the video.
        corrected: the objects that were corrected on each frame where any was.
        starts: the objects that are to be propagated from a frame.
        step: 1 forwards, -1 backwards.
    """
    given = sorted({*corrected, *starts}, reverse=step < 0)
    todo = [index for index in given if starts.get(index)]
    while todo:
        index = todo[0]
        spans = _spans(index, starts[index], corrected, given, step)
        yield Visit(index, True, {})
        index += step
        while 0 <= index < count:
            spans = {k: span for k, span in spans.items() if span.end != index}
            found = dict(spans)
            spans |= _spans(index, starts.get(index, frozenset()), corrected, given, step)
            if not spans:
                break
            yield Visit(index, False, {k: span for k, span in found.items() if k not in corrected.get(index, ())})
            index += step
        todo = [later for later in todo if (later - index) * step >= 0]


def _spans(
    start: int, objects: frozenset[int], corrected: Mapping[int, frozenset[int]], given: Sequence[int], step: int
) -> dict[int, Span]:
    beyond = [index for index in given if (index - start) * step > 0]
    return {k: Span(start, next((i for i in beyond if k in corrected.get(i, ())), None)) for k in objects}


def blend(
    probabilities: np.ndarray, known: np.ndarray, objects: Sequence[int], shares: Mapping[int, float]
) -> np.ndarray:
    """The ids of a frame from this side's probabilities and the masks that the other side left.

    Args:
        probabilities: (K+1,H,W), the background and the objects.
        known: ids (H,W) of the other side.
        objects: ids of the rows behind the background.
        shares: of this side, in [0, 1], for the objects that are blended; the others have their probabilities alone.

    Returns:
        ids (H,W), uint8.
    """
    mixed = probabilities.copy()
    for row, k in enumerate(objects, start=1):
        share = shares.get(k, 1.0)
        if share < 1:
            mixed[row] = share * mixed[row] + (1 - share) * (known == k)
    if any(share < 1 for share in shares.values()):
        mixed[0] = (1 - mixed[1:].sum(0)).clip(0)
    return np.array((0, *objects), np.uint8)[mixed.argmax(0)]


def share_of(nearness: float, quality: float, other: float) -> float:
    """What a side counts in a blend: by how near its start is, and by the predicted quality of both results.

    Args:
        nearness: see `Span`.
        quality, other: of this side's and the other side's mask, in [0, 1]; not a number where they are not known.
    """
    if not (np.isfinite(quality) and np.isfinite(other)):
        return nearness
    mine, theirs = nearness * max(quality, 1e-3), (1 - nearness) * max(other, 1e-3)
    return mine / (mine + theirs)


def compose(known: np.ndarray, found: np.ndarray, written: Sequence[int], fixed: Sequence[int]) -> np.ndarray:
    """Put new masks of some objects into a frame's mask.

    Args:
        known: ids (H,W) as they are.
        found: ids (H,W) as the propagation sees them.
        written: objects that get their new masks. What they leave goes to whom the propagation sees there.
        fixed: objects that were corrected on this frame; none of their pixels changes.

    Returns:
        ids (H,W), uint8.
    """
    free = np.isin(known, written)
    taken = np.isin(found, written) & ~np.isin(known, fixed)
    result = np.where(free | taken, found, known)
    result[np.isin(result, fixed) & ~np.isin(known, fixed)] = 0
    return result.astype(np.uint8)


def neediest(quality: np.ndarray, open_frames: np.ndarray, reach: int = 2) -> int | None:
    """The frame on which help is worth most: where the worst mask is expected, its neighbours counted in.

    Args:
        quality: (K,N), predicted quality of each object's mask; not a number where it is not known.
        open_frames: (N,) bool, frames that may be chosen: those that have masks and were not corrected.
        reach: so many neighbours to either side count too, the near ones more, so that one odd frame does not decide.

    Returns:
        Its position; None where no frame may be chosen.
    """
    if not open_frames.any():
        return None
    known = np.isfinite(quality).any(0)
    worst = np.full(quality.shape[1], np.nan)
    worst[known] = np.nanmin(quality[:, known], 0)
    if not (known & open_frames).any():
        candidates = np.flatnonzero(open_frames)
        return int(candidates[np.abs(candidates - candidates.mean()).argmin()])
    kernel = 1 + reach - np.abs(np.arange(-reach, reach + 1.0))
    total, weight = (
        np.convolve(values, kernel)[reach : reach + len(worst)] for values in (np.where(known, worst, 0), known * 1.0)
    )
    smooth = np.where(known & open_frames, total / np.maximum(weight, 1), np.inf)
    return int(smooth.argmin())
