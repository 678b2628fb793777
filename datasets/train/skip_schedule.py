"""How far apart the frames of a training clip may lie, epoch by epoch (QDMN, ECCV 2022; STM-Cycle, NeurIPS 2020)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SkipSchedule:
    """A list of skips, spread over the training.

    Attributes:
        start: the skip before the first change, in frames.
        values: the skips that follow, in frames, one for each fraction.
        fractions: share of the training at which each value takes over, increasing, in (0, 1); a change falls on epoch
            round(epochs * fraction).
    """

    start: int
    values: tuple[int, ...]
    fractions: tuple[float, ...]

    def at(self, epoch: int, epochs: int) -> int:
        """The skip of an epoch, which counts from 0, of a training of so many epochs."""
        changes = zip(self.values, self.fractions, strict=True)
        reached = [value for value, fraction in changes if epoch >= round(epochs * fraction)]
        return reached[-1] if reached else self.start


@dataclass(frozen=True)
class SkipGrowth:
    """Skips that grow by the same amount again and again (STM-Cycle), however long the training is.

    Attributes:
        start: the skip of the first epochs, in frames.
        step: what is added each time, in frames.
        every: epochs from one growth to the next.
        ceiling: the largest skip, in frames.
    """

    start: int
    step: int
    every: int
    ceiling: int

    def at(self, epoch: int, epochs: int) -> int:
        """The skip of an epoch, which counts from 0, of a training of so many epochs."""
        return min(self.start + epoch // self.every * self.step, self.ceiling)


Skips = SkipSchedule | SkipGrowth

# QDMN has one list for each set; Mask-Propagation (MiVOS, CVPR 2021) and STCN (NeurIPS 2021) one for both.
STAGE1_SKIPS = SkipSchedule(5, (10, 15, 20, 25, 10), (0.1, 0.2, 0.3, 0.4, 0.8))
STAGE2_DAVIS_SKIPS = SkipSchedule(5, (10, 15, 25, 10, 5, 1), (0.1, 0.2, 0.3, 0.4, 0.7, 0.9))
STAGE2_YOUTUBE_SKIPS = SkipSchedule(5, (10, 15, 20, 25, 10, 5), (0.1, 0.2, 0.3, 0.4, 0.7, 0.9))
MIVOS_STAGE1_SKIPS = SkipSchedule(5, (10, 15, 20, 25, 5), (0.1, 0.2, 0.3, 0.4, 0.8))
MIVOS_STAGE2_SKIPS = SkipSchedule(5, (10, 15, 20, 25, 5), (0.1, 0.2, 0.3, 0.4, 0.9))
DROPSEG_DAVIS_SKIPS = SkipSchedule(24, (), ())
DROPSEG_YOUTUBE_SKIPS = SkipSchedule(20, (), ())
MIVOS_FAMILY = ("mask_propagation", "stcn")
DAVIS_GROWTH, YOUTUBE_GROWTH, CEILING = 5, 1, 100  # STM-Cycle, in annotated frames
YOUTUBE_STEP = 5  # frames of the video from one annotated frame of YouTube-VOS to the next


def listed_skips(arch: str) -> tuple[SkipSchedule, SkipSchedule, SkipSchedule]:
    """The lists of BL30K, DAVIS and YouTube-VOS that belong to a network; QDMN's by default."""
    if arch in MIVOS_FAMILY:
        return MIVOS_STAGE1_SKIPS, MIVOS_STAGE2_SKIPS, MIVOS_STAGE2_SKIPS
    if arch == "dropseg":
        return DROPSEG_DAVIS_SKIPS, DROPSEG_DAVIS_SKIPS, DROPSEG_YOUTUBE_SKIPS
    return STAGE1_SKIPS, STAGE2_DAVIS_SKIPS, STAGE2_YOUTUBE_SKIPS


def growing_skips(every: int, start: tuple[int, int]) -> tuple[SkipGrowth, SkipGrowth]:
    """The published growth on DAVIS and on YouTube-VOS.

    Args:
        every: epochs from one growth to the next.
        start: first skip of each set, in annotated frames.
    """
    davis = SkipGrowth(start[0], DAVIS_GROWTH, every, CEILING)
    return davis, SkipGrowth(YOUTUBE_STEP * start[1], YOUTUBE_STEP * YOUTUBE_GROWTH, every, YOUTUBE_STEP * CEILING)
