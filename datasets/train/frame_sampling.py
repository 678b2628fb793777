"""Which frames of a video make a training clip, as published for QDMN (ECCV 2022) and for STM-Cycle (NeurIPS 2020)."""

import torch

ATTEMPTS = 10


def _draw(low: int, high: int) -> int:
    """A uniform integer in low..high, both included."""
    return int(torch.randint(low, high + 1, ()))


def _draw_published(length: int, clip_length: int, max_skip: int, stretch: int) -> list[int]:
    """Ascending positions; frame i of the clip stays `reach // i` away from the end, so that two may coincide."""
    reach = min(length, max_skip)
    positions = [_draw(0, length - reach)]
    for i in range(1, clip_length):
        positions.append(min(positions[-1] + _draw(1, reach + stretch), length - reach // i, length - 1))
    return positions


def _draw_distinct(length: int, clip_length: int, max_skip: int) -> list[int]:
    """Strictly ascending positions, for videos so short that the published draw repeats frames."""
    reach = min(max_skip, (length - 1) // (clip_length - 1))
    steps = [0] + [_draw(1, reach) for _ in range(clip_length - 1)]
    start = _draw(0, length - 1 - sum(steps))
    return [start + sum(steps[: i + 1]) for i in range(clip_length)]


def sample_positions(
    length: int, clip_length: int, max_skip: int, distinct: bool = True, stretch: int = 0
) -> list[int]:
    """Positions of a clip's frames in a video, reversed in time with probability one half.

    Args:
        length: frames of the video, at least `clip_length`.
        clip_length: frames of the clip; the published formula for three is continued for more.
        max_skip: largest distance of neighbouring frames, at least 1.
        distinct: draw again while frames coincide; False is the published draw, where they may.
        stretch: added to the largest distance but not to the distance from the end; 1 in MiVOS and STCN.
    """
    for _ in range(ATTEMPTS):
        positions = _draw_published(length, clip_length, max_skip, stretch)
        if not distinct or len(set(positions)) == clip_length:
            break
    else:
        positions = _draw_distinct(length, clip_length, max_skip)
    return positions[::-1] if torch.rand(()) < 0.5 else positions


def sample_positions_either_way(length: int, clip_length: int, max_skip: int) -> list[int]:
    """`sample_ascending_positions`, reversed in time with probability one half (DropSeg)."""
    positions = sample_ascending_positions(length, clip_length, max_skip)
    return positions[::-1] if torch.rand(()) < 0.5 else positions


def sample_ascending_positions(length: int, clip_length: int, max_skip: int) -> list[int]:
    """Strictly ascending positions, each drawn from those that leave enough frames for the rest (STM-Cycle).

    Args:
        length: frames of the video, at least `clip_length`.
        clip_length: frames of the clip.
        max_skip: largest distance of neighbouring frames, at least 1.
    """
    spare = length - clip_length
    positions = [_draw(0, spare)]
    for i in range(1, clip_length):
        positions.append(_draw(positions[-1] + 1, min(positions[-1] + max_skip, spare + i)))
    return positions
