"""Which frames make a clip, and how far apart they may lie."""

from collections import Counter

import numpy as np
import pytest
import torch

from datasets.frame_sampling import sample_positions
from datasets.skip_schedule import STAGE1_SKIPS, STAGE2_DAVIS_SKIPS, STAGE2_YOUTUBE_SKIPS, SkipSchedule


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("length", [3, 4, 7, 60])
@pytest.mark.parametrize("max_skip", [1, 2, 5, 25])
@pytest.mark.parametrize("clip_length", [2, 3])
@pytest.mark.parametrize("distinct", [True, False])
def test_positions_stay_in_the_video_and_within_the_skip(length, max_skip, clip_length, distinct):
    for _ in range(60):
        positions = np.array(sample_positions(length, clip_length, max_skip, distinct))
        steps = np.diff(positions)
        assert len(positions) == clip_length and positions.min() >= 0 and positions.max() < length
        assert np.abs(steps).max() <= max_skip
        assert (steps >= 0).all() or (steps <= 0).all()
        assert (steps != 0).all() or not distinct


def test_longer_clips_have_distinct_frames_too():
    for length in (6, 9, 50):
        for _ in range(30):
            assert len(set(sample_positions(length, 6, 5, distinct=True))) == 6


def test_clips_run_backwards_half_the_time():
    draws = [sample_positions(50, 3, 5, distinct=True) for _ in range(400)]
    assert 160 <= sum(p[0] > p[2] for p in draws) <= 240


def published_positions(length, max_jump, rng):
    """The published sampling of three frames, written with numpy."""
    reach = min(length, max_jump)
    start = rng.integers(0, length - reach + 1)
    second = min(start + rng.integers(1, reach + 1), length - reach, length - 1)
    third = min(second + rng.integers(1, reach + 1), length - reach // 2, length - 1)
    return tuple(sorted((int(start), int(second), int(third))))


@pytest.mark.parametrize(("length", "max_skip"), [(3, 5), (6, 5), (8, 3), (7, 1)])
def test_the_published_draw_has_the_published_distribution(length, max_skip):
    rng = np.random.default_rng(0)
    draws = 4000
    ours = Counter(tuple(sorted(sample_positions(length, 3, max_skip, distinct=False))) for _ in range(draws))
    published = Counter(published_positions(length, max_skip, rng) for _ in range(draws))
    difference = sum(abs(ours[p] - published[p]) for p in ours | published) / draws
    assert difference < 0.12


def test_the_published_draw_repeats_frames_of_short_videos():
    assert all(len(set(sample_positions(3, 3, 5, distinct=False))) == 2 for _ in range(20))


def test_the_skip_schedule_changes_at_rounded_epochs():
    schedule = SkipSchedule(5, [10, 1], [0.25, 0.9], total_epochs=9)
    assert [schedule.at(epoch) for epoch in range(9)] == [5, 5, 10, 10, 10, 10, 10, 10, 1]
    assert schedule.at(100) == 1


def test_published_schedules():
    at = [0, 10, 20, 30, 40, 70, 80, 90]
    assert [SkipSchedule(*STAGE1_SKIPS, 100).at(e) for e in at] == [5, 10, 15, 20, 25, 25, 10, 10]
    assert [SkipSchedule(*STAGE2_DAVIS_SKIPS, 100).at(e) for e in at] == [5, 10, 15, 25, 10, 5, 5, 1]
    assert [SkipSchedule(*STAGE2_YOUTUBE_SKIPS, 100).at(e) for e in at] == [5, 10, 15, 20, 25, 10, 10, 5]
