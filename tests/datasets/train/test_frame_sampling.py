"""Which frames make a clip, and how far apart they may lie."""

from collections import Counter

import numpy as np
import pytest

from datasets.train.frame_sampling import sample_ascending_positions, sample_positions
from datasets.train.skip_schedule import (
    STAGE1_SKIPS,
    STAGE2_DAVIS_SKIPS,
    STAGE2_YOUTUBE_SKIPS,
    SkipGrowth,
    SkipSchedule,
    growing_skips,
    listed_skips,
)


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


@pytest.mark.parametrize(
    ("length", "clip_length", "max_skip"), [(3, 3, 5), (4, 3, 1), (9, 3, 4), (60, 3, 5), (12, 5, 3), (7, 2, 100)]
)
def test_ascending_positions_reach_all_that_their_bounds_allow_and_no_more(length, clip_length, max_skip):
    draws = np.array([sample_ascending_positions(length, clip_length, max_skip) for _ in range(3000)])
    spare = length - clip_length
    for i, column in enumerate(draws.T):
        assert (column.min(), column.max()) == (i, spare + i)
    steps = np.diff(draws, axis=1)
    assert (steps.min(), steps.max()) == (1, min(max_skip, spare + 1))


def test_each_ascending_position_is_equally_likely_within_its_bounds():
    draws = Counter(tuple(sample_ascending_positions(5, 3, 2)) for _ in range(9000))
    expected = {
        (0, 1, 2): 1 / 12, (0, 1, 3): 1 / 12, (0, 2, 3): 1 / 12, (0, 2, 4): 1 / 12,
        (1, 2, 3): 1 / 12, (1, 2, 4): 1 / 12, (1, 3, 4): 1 / 6, (2, 3, 4): 1 / 3,
    }  # fmt: skip
    assert set(draws) == set(expected)
    assert all(abs(draws[clip] / 9000 - share) < 0.02 for clip, share in expected.items())


def test_the_skip_schedule_changes_at_rounded_epochs():
    schedule = SkipSchedule(5, (10, 1), (0.25, 0.9))
    assert [schedule.at(epoch, 9) for epoch in range(9)] == [5, 5, 10, 10, 10, 10, 10, 10, 1]
    assert schedule.at(100, 9) == 1


def test_published_schedules():
    at = [0, 10, 20, 30, 40, 70, 80, 90]
    assert [STAGE1_SKIPS.at(e, 100) for e in at] == [5, 10, 15, 20, 25, 25, 10, 10]
    assert [STAGE2_DAVIS_SKIPS.at(e, 100) for e in at] == [5, 10, 15, 25, 10, 5, 5, 1]
    assert [STAGE2_YOUTUBE_SKIPS.at(e, 100) for e in at] == [5, 10, 15, 20, 25, 10, 10, 5]


def test_the_networks_of_mivos_have_one_list_for_both_sets():
    for arch, same in (("qdmn", False), ("stm_cycle", False), ("stcn", True), ("mask_propagation", True)):
        _, davis, youtube = listed_skips(arch)
        assert (davis == youtube) == same


@pytest.mark.parametrize("epochs", [1, 240])
def test_skips_grow_up_to_a_ceiling_however_long_the_training_is(epochs):
    growth = SkipGrowth(start=4, step=3, every=2, ceiling=9)
    assert [growth.at(epoch, epochs) for epoch in range(7)] == [4, 4, 7, 7, 9, 9, 9]


def test_published_growth():
    """DAVIS 5, 10, 15 ... frames; YouTube 3, 4, 5 ... annotated frames, which lie five apart."""
    davis, youtube = growing_skips(5, (5, 3))
    at = [0, 4, 5, 10, 94, 95, 239]
    assert [davis.at(epoch, 240) for epoch in at] == [5, 5, 10, 15, 95, 100, 100]
    assert [youtube.at(epoch, 240) for epoch in at] == [15, 15, 20, 25, 105, 110, 250]
    davis, youtube = growing_skips(1, (50, 10))
    assert (davis.at(0, 9), youtube.at(0, 9)) == (50, 50)
    assert (davis.at(500, 9), youtube.at(500, 9)) == (100, 500)
