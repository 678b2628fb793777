"""Which views of pictures and videos are drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.train.augment import WARP_PROBABILITY, letterboxed_views, static_views, video_views
from datasets.train.geometry import letterbox
from datasets.train.render import render_frame, render_mask
from tests.helpers.pictures import PLAIN, RENDERERS, centre_of_mass, ellipse, smooth_picture

CANVAS = (80, 96)
SQUARE = (80, 80)

DRAWS = {"static": static_views, "video": video_views, "letterboxed": letterboxed_views}
MOVING = {"static": static_views, "video": video_views}
SIZES = {"as large": (100, 130), "shrunk": (700, 900), "grown": (50, 40)}

all_draws = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
moving_draws = pytest.mark.parametrize("draw", MOVING.values(), ids=MOVING)


def drawn(seed, draw, size=(100, 130), count=3, canvas=CANVAS):
    torch.manual_seed(seed)
    return draw(size, count, canvas)


def all_numbers(views):
    return np.concatenate([
        part.ravel() for view in views for part in (view.matrix, view.colour, view.warp) if part is not None
    ])  # fmt: skip


def mirrored(view):
    return np.linalg.det(view.matrix[:2, :2]) < 0


@all_draws
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


@all_draws
def test_the_seed_decides_everything(draw):
    first, again, other = (all_numbers(drawn(seed, draw)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@all_draws
@pytest.mark.parametrize("count", [1, 2, 5])
def test_there_are_as_many_views_as_asked(draw, count):
    views = drawn(0, draw, count=count)
    assert [render_frame(smooth_picture(100, 130), view).shape for view in views] == [(*CANVAS, 3)] * count


@moving_draws
def test_views_of_a_clip_differ_in_place_and_colour(draw):
    first, second, third = drawn(0, draw)
    for one, other in ((first, second), (second, third), (first, third)):
        assert not np.allclose(one.matrix, other.matrix)
        assert not np.allclose(one.colour, other.colour)


@all_draws
def test_all_views_of_a_clip_are_mirrored_or_none(draw):
    clips = [[mirrored(view) for view in drawn(seed, draw)] for seed in range(40)]
    assert all(len(set(clip)) == 1 for clip in clips)
    assert 10 < sum(clip[0] for clip in clips) < 30


@moving_draws
def test_all_views_of_a_clip_are_grey_or_none(draw):
    clips = [[np.ptp(view.colour, axis=0).max() < 1e-6 for view in drawn(seed, draw)] for seed in range(200)]
    assert all(len(set(clip)) == 1 for clip in clips)
    assert 2 <= sum(clip[0] for clip in clips) <= 25


def test_static_views_are_warped_with_their_probability_and_video_views_never():
    torch.manual_seed(0)
    static = [view.warp is not None for view in static_views((40, 50), 300, (16, 16))]
    assert abs(np.mean(static) - WARP_PROBABILITY) < 0.08
    assert all(view.warp is None for view in video_views((40, 50), 50, (16, 16)))


@pytest.mark.parametrize("min_scale", [0.25, 0.9])
def test_the_crop_of_a_video_keeps_its_share_of_the_area_in_all_frames(min_scale):
    shares = []
    for seed in range(60):
        torch.manual_seed(seed)
        clip = [abs(np.linalg.det(view.matrix)) * 32**2 for view in video_views((100, 130), 3, (32, 32), min_scale)]
        assert np.ptp(clip) < 1e-6 * clip[0]
        shares.append(clip[0] / (100 * 130))
    assert min_scale - 0.02 < min(shares) < min_scale + 0.15
    assert 0.9 < max(shares) < 1.02


def test_static_views_zoom_within_their_limits():
    views = [view for seed in range(60) for view in drawn(seed, static_views, canvas=SQUARE)]
    zooms = [100 / 80 / abs(np.linalg.det(view.matrix)) ** 0.5 for view in views]
    assert 0.8 * 0.9 * 0.99 < min(zooms) < 0.82
    assert 1.45 < max(zooms) < 1.5 * 1.1 * 1.01


@moving_draws
@pytest.mark.parametrize("most", [1.0, 3.0])
def test_a_camera_nears_or_leaves_the_middle_by_a_steady_factor(draw, most):
    factors = []
    for seed in range(80):
        torch.manual_seed(seed)
        areas = [abs(np.linalg.det(view.matrix)) for view in draw((60, 80), 3, canvas=SQUARE, zoom=most)]
        factors.append([(areas[0] / area) ** 0.5 for area in areas[1:]])
    middle, last = np.log(factors).T
    own = np.log(1.1 / 0.9) if draw is static_views else 1e-6  # each view of a picture has a scale of its own
    assert np.abs(last).max() <= np.log(most) + own
    assert np.abs(middle - last / 2).max() <= 1.5 * own
    if most > 1:
        assert last.min() < -0.8 * np.log(most) and last.max() > 0.8 * np.log(most)


def letterboxed(count, size=(100, 130), canvas=(50, 65)):
    torch.manual_seed(0)
    return [letterboxed_views(size, 1, canvas)[0] for _ in range(count)]


def source_of(view, size):
    """Pixels of the source, and of a frame of this size that has been flipped, cut and turned, as a matrix (3,3)."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return half @ view.matrix @ np.linalg.inv(half) @ letterbox(size, view.size)


def test_letterboxed_views_of_a_clip_are_alike():
    first, second, third = (all_numbers([view]) for view in drawn(0, letterboxed_views))
    assert np.array_equal(first, second) and np.array_equal(second, third)


def test_letterboxed_views_turn_scale_and_shear_within_their_limits():
    """The cut stretches by 1 to 1.25 along each axis before the frame is scaled, sheared along both axes and turned."""
    maps = [np.linalg.inv(source_of(view, (100, 130)))[:2, :2] for view in letterboxed(600)]
    areas = np.array([abs(np.linalg.det(part)) for part in maps])
    assert 0.95**2 <= areas.min() < 1.0 and 1.3 < areas.max() <= (1.05 * 1.25) ** 2
    for axis in (0, 1):
        turns = [np.degrees(np.arctan2(abs(part[1 - axis, axis]), abs(part[axis, axis]))) for part in maps]
        assert 20 < max(turns) < 25.5


def test_letterboxed_views_keep_the_middle_of_the_frame():
    centres = np.stack([(source_of(view, (100, 130)) @ [65, 50, 1])[:2] for view in letterboxed(300)])
    assert np.abs(centres - [65, 50]).max(0).tolist() <= [0.05 * 130 * 1.01, 0.05 * 100 * 1.01]
    assert (np.ptp(centres, axis=0) > [0.07 * 130, 0.07 * 100]).all()


def test_letterboxed_views_change_brightness_within_their_limits():
    grey = np.full((20, 26, 3), 100, np.uint8)
    slopes, shifts = [], []
    for view in letterboxed(200, (20, 26), (20, 26)):
        slopes.append(view.colour[:, :3].diagonal())
        shifts.append(view.colour[:, 6])
        assert np.ptp(view.colour[:, 3:6]) == 0 and np.count_nonzero(view.colour[:, :3]) == 3
        expected = slopes[-1] * 100 + shifts[-1]
        assert np.abs(render_frame(grey, view)[10, 13] - expected).max() <= 0.51
    assert np.ptp(slopes, axis=1).max() == np.ptp(shifts, axis=1).max() == 0
    assert 0.97 <= np.min(slopes) < 0.972 and 1.028 < np.max(slopes) <= 1.03
    assert -5 <= np.min(shifts) < -4.8 and 4.8 < np.max(shifts) <= 5


def test_upright_frames_are_laid_down():
    size, canvas = (130, 100), (50, 85)
    ids = np.zeros(size, np.uint8)
    ids[:65] = 1
    for view in letterboxed(20, size, canvas):
        mask = render_mask(ids, view)
        assert mask.shape == canvas
        left, right = mask[15:35, 20:40].mean(), mask[15:35, 45:65].mean()
        assert abs(left - right) > 0.9


def test_beside_a_letterboxed_frame_lies_black_background():
    for view in letterboxed(20, (60, 60), (40, 120)):
        frame, mask = (
            render_frame(np.full((60, 60, 3), 255, np.uint8), view),
            render_mask(np.ones((60, 60), np.uint8), view),
        )
        for border in (slice(0, 15), slice(-15, None)):
            assert frame[:, border].max() <= 5 and mask[:, border].max() == 0
        assert frame[20, 60].min() > 240 and mask[20, 60] == 1
