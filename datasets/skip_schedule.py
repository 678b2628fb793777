"""How far apart the frames of a training clip may lie, epoch by epoch (QDMN, ECCV 2022)."""

from collections.abc import Sequence

# QDMN has one list for each set; Mask-Propagation (MiVOS, CVPR 2021) and STCN (NeurIPS 2021) one for both.
STAGE1_SKIPS = (5, (10, 15, 20, 25, 10), (0.1, 0.2, 0.3, 0.4, 0.8))
STAGE2_DAVIS_SKIPS = (5, (10, 15, 25, 10, 5, 1), (0.1, 0.2, 0.3, 0.4, 0.7, 0.9))
STAGE2_YOUTUBE_SKIPS = (5, (10, 15, 20, 25, 10, 5), (0.1, 0.2, 0.3, 0.4, 0.7, 0.9))
MIVOS_STAGE1_SKIPS = (5, (10, 15, 20, 25, 5), (0.1, 0.2, 0.3, 0.4, 0.8))
MIVOS_STAGE2_SKIPS = (5, (10, 15, 20, 25, 5), (0.1, 0.2, 0.3, 0.4, 0.9))
MIVOS_FAMILY = ("mask_propagation", "stcn")


class SkipSchedule:
    """The largest frame skip of each epoch: `SkipSchedule(*STAGE1_SKIPS, total_epochs)`.

    Args:
        start: the skip before the first change, in frames.
        values: the skips that follow, in frames, one for each fraction.
        fractions: share of the training at which each value takes over, increasing, in (0, 1).
        total_epochs: epochs of the whole training stage; a change falls on epoch round(total_epochs * fraction).
    """

    def __init__(self, start: int, values: Sequence[int], fractions: Sequence[float], total_epochs: int) -> None:
        self.start = start
        self.changes = [(round(total_epochs * f), value) for f, value in zip(fractions, values, strict=True)]

    def at(self, epoch: int) -> int:
        """The skip of an epoch, which counts from 0."""
        reached = [value for change, value in self.changes if epoch >= change]
        return reached[-1] if reached else self.start
