"""Which views of pictures and videos are drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.augment import WARP_PROBABILITY, static_views, video_views
from datasets.render import render_frame, render_mask
from tests.pictures import PLAIN, RENDERERS, centre_of_mass, ellipse, smooth_picture

SIDE = 80

DRAWS = {"static": static_views, "video": lambda *args: video_views(*args, 0.36)}
SIZES = {"as large": (100, 130), "shrunk": (700, 900), "grown": (50, 40)}

both_draws = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def drawn(seed, draw, size=(100, 130), count=3):
    torch.manual_seed(seed)
    return draw(size, SIDE, count)


def all_numbers(views):
    return np.concatenate([
        part.ravel() for view in views for part in (view.matrix, view.colour, view.warp) if part is not None
    ])  # fmt: skip


def mirrored(view):
    return np.linalg.det(view.matrix[:2, :2]) < 0


@both_draws
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_the_mask_stays_on_its_object(draw, size, render):
    inside = ellipse(*size)
    picture = np.where(inside[..., None], 250, 40).astype(np.uint8).repeat(3, axis=2)
    offsets = []
    for seed in range(8):
        for view in drawn(seed, draw, size):
            seen = render(picture, replace(view, colour=PLAIN))[..., 0] > 145
            hard = render_mask(inside * np.uint8(255), view) > 0
            soft = render_mask(inside * np.uint8(255), view, soft=True) > 127
            assert seen.any()
            assert (seen & hard).sum() > 0.97 * (seen | hard).sum()
            assert (seen & soft).sum() > 0.97 * (seen | soft).sum()
            offsets.append(centre_of_mass(seen) - centre_of_mass(hard))
    assert np.abs(offsets).max() < 0.25
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.05


@both_draws
def test_the_seed_decides_everything(draw):
    first, again, other = (all_numbers(drawn(seed, draw)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@both_draws
@pytest.mark.parametrize("count", [1, 2, 5])
def test_there_are_as_many_views_as_asked(draw, count):
    views = drawn(0, draw, count=count)
    assert [render_frame(smooth_picture(100, 130), view).shape for view in views] == [(SIDE, SIDE, 3)] * count


@both_draws
def test_views_of_a_clip_differ_in_place_and_colour(draw):
    first, second, third = drawn(0, draw)
    for one, other in ((first, second), (second, third), (first, third)):
        assert not np.allclose(one.matrix, other.matrix)
        assert not np.allclose(one.colour, other.colour)


@both_draws
def test_all_views_of_a_clip_are_mirrored_or_none(draw):
    clips = [[mirrored(view) for view in drawn(seed, draw)] for seed in range(40)]
    assert all(len(set(clip)) == 1 for clip in clips)
    assert 10 < sum(clip[0] for clip in clips) < 30


@both_draws
def test_all_views_of_a_clip_are_grey_or_none(draw):
    clips = [[np.ptp(view.colour, axis=0).max() < 1e-6 for view in drawn(seed, draw)] for seed in range(200)]
    assert all(len(set(clip)) == 1 for clip in clips)
    assert 2 <= sum(clip[0] for clip in clips) <= 25


def test_static_views_are_warped_with_their_probability_and_video_views_never():
    torch.manual_seed(0)
    static = [view.warp is not None for view in static_views((40, 50), 16, 300)]
    assert abs(np.mean(static) - WARP_PROBABILITY) < 0.08
    assert all(view.warp is None for view in video_views((40, 50), 16, 50, 0.36))


@pytest.mark.parametrize("min_scale", [0.25, 0.9])
def test_the_crop_of_a_video_keeps_its_share_of_the_area_in_all_frames(min_scale):
    shares = []
    for seed in range(60):
        torch.manual_seed(seed)
        clip = [abs(np.linalg.det(view.matrix)) * 32**2 for view in video_views((100, 130), 32, 3, min_scale)]
        assert np.ptp(clip) < 1e-6 * clip[0]
        shares.append(clip[0] / (100 * 130))
    assert min_scale - 0.02 < min(shares) < min_scale + 0.15
    assert 0.9 < max(shares) < 1.02


def test_static_views_zoom_within_their_limits():
    views = [view for seed in range(60) for view in drawn(seed, static_views)]
    zooms = [100 / SIDE / abs(np.linalg.det(view.matrix)) ** 0.5 for view in views]
    assert 0.8 * 0.9 * 0.99 < min(zooms) < 0.82
    assert 1.45 < max(zooms) < 1.5 * 1.1 * 1.01
