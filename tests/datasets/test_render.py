"""Frames and masks made from views, with OpenCV and with torch."""

import numpy as np
import pytest
import torch

from datasets.train.augment import MEAN_COLOUR, letterboxed_views, static_views, video_views
from datasets.train.colour import colour_map
from datasets.train.geometry import affine, flip, sampling_matrix, scaling, translation, transposition
from datasets.train.render import plan_clip, reduced, reduction, render_clip, render_frame, render_mask, renders_apart
from tests.helpers.pictures import RENDERERS, as_clip, ellipse, plain_view, smooth_picture

SIDE = 64
CANVAS = (64, 64)
WIDE = (48, 85)
GREY = colour_map((("saturation", 0.0),))

both_renderers = pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)


def indices(side):
    """(S,S,2) float32, each pixel's own (x, y)."""
    return np.stack(np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2), axis=-1)


def noise(height=SIDE, width=SIDE):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def clip_of(frames, views):
    return render_clip(frames, plan_clip(views, frames.shape[2:]))


def seen(view, picture, **options):
    return render_mask((picture * 255).astype(np.uint8), view, **options)


@both_renderers
def test_a_plain_view_is_the_picture(render):
    assert np.array_equal(render(noise(), plain_view(SIDE)), noise())
    assert np.array_equal(render_mask(noise()[..., 0], plain_view(SIDE)), noise()[..., 0])


@both_renderers
def test_a_flip_mirrors_every_pixel(render):
    view = plain_view(SIDE, sampling_matrix(flip(SIDE)))
    assert np.array_equal(render(noise(), view), noise()[:, ::-1])
    assert np.array_equal(render_mask(noise()[..., 0], view), noise()[:, ::-1, 0])


@both_renderers
def test_a_transposition_lays_an_upright_picture_down(render):
    upright = noise(85, 48)
    view = plain_view(WIDE, sampling_matrix(transposition()))
    assert np.array_equal(render(upright, view), upright.transpose(1, 0, 2))
    assert np.array_equal(render_mask(upright[..., 0], view), upright[..., 0].T)


@both_renderers
@pytest.mark.parametrize("warped", [False, True])
def test_pixels_are_read_where_warp_and_matrix_say(render, warped):
    y, x = np.mgrid[:100, :120]
    slopes = np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)
    matrix = sampling_matrix(affine((100, 120), 15, 1.2, 8), translation(-25, -15))
    ripple = indices(SIDE) + 3 * np.sin(indices(SIDE)[..., ::-1] / 9)
    read = (ripple if warped else indices(SIDE)) @ matrix[:2, :2].T + matrix[:2, 2]
    inside = ((read > 2) & (read < (117, 97))).all(2)
    expected = np.stack([2 * read[..., 0], 2 * read[..., 1], read.sum(2)], axis=-1)
    view = plain_view(SIDE, matrix, ripple.astype(np.float32) if warped else None)
    assert inside.mean() > 0.7
    assert np.abs(render(slopes, view) - expected)[inside].max() < 0.7


@both_renderers
@pytest.mark.parametrize("warped", [False, True])
@pytest.mark.parametrize("fill", [MEAN_COLOUR, (0, 0, 0), (9, 80, 200)])
def test_outside_lie_the_fill_colour_and_background(render, warped, fill):
    view = plain_view(SIDE, translation(SIDE / 2, 0), indices(SIDE) if warped else None, fill=fill)
    frame, mask = render(np.full_like(noise(), 255), view), render_mask(np.full((SIDE, SIDE), 7, np.uint8), view)
    assert (frame[:, : SIDE // 2 - 2] == 255).all() and (mask[:, : SIDE // 2] == 7).all()
    assert (frame[:, SIDE // 2 + 2 :] == fill).all() and (mask[:, SIDE // 2 :] == 0).all()


@both_renderers
def test_colour_changes_what_lies_outside_too(render):
    outside = plain_view(SIDE, translation(1000, 0), colour=colour_map((("brightness", 0.5),)))
    assert np.abs(render(noise(), outside) - np.array(MEAN_COLOUR) / 2).max() <= 0.5


@both_renderers
def test_colour_is_clipped_after_all_changes_only(render):
    picture = smooth_picture(SIDE, SIDE)
    back_and_forth = plain_view(SIDE, colour=colour_map((("brightness", 4.0), ("brightness", 0.25))))
    assert np.array_equal(render(picture, back_and_forth), picture)
    assert (render(noise(), plain_view(SIDE, colour=colour_map((("brightness", 100.0),))))[noise() > 3] == 255).all()


@both_renderers
def test_a_shift_is_added_and_clipped(render):
    shifted = plain_view(SIDE, colour=colour_map((("brightness", 0.5), ("shift", 20))))
    assert np.abs(render(noise(), shifted) - (noise() / 2 + 20)).max() <= 0.5
    darkened = plain_view(SIDE, colour=colour_map((("shift", -30),)))
    assert np.array_equal(render(noise(), darkened), np.maximum(noise(), 30) - 30)


@both_renderers
def test_contrast_turns_about_the_mean_of_the_view(render):
    flat = plain_view(SIDE, sampling_matrix(translation(-30, -20)), colour=colour_map((("contrast", 0.0),)))
    frame = smooth_picture(120, 120)
    mean_grey = frame[20 : 20 + SIDE, 30 : 30 + SIDE].mean((0, 1)) @ [0.299, 0.587, 0.114]
    assert np.abs(render(frame, flat) - mean_grey).max() < 1


@both_renderers
def test_grey_has_equal_channels(render):
    frame = render(noise(), plain_view(SIDE, colour=GREY)).astype(int)
    assert np.ptp(frame, axis=2).max() == 0 and frame.std() > 1


@both_renderers
def test_fine_stripes_become_grey_when_shrunk(render):
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = render(stripes, plain_view(SIDE, sampling_matrix(scaling(0.2, 0.2))))
    assert np.abs(frame[2:-2, 2:-2].astype(int) - 127.5).max() < 30


def test_hard_masks_invent_no_ids_and_soft_masks_do():
    mask = np.where(ellipse(90, 110), 200, 0).astype(np.uint8)
    for view in static_views((90, 110), 6, CANVAS) + video_views((90, 110), 6, CANVAS):
        assert set(np.unique(render_mask(mask, view))) == {0, 200}
        assert len(np.unique(render_mask(mask, view, soft=True))) > 10


def test_a_warp_is_read_before_the_matrix():
    matrix = sampling_matrix(translation(-10, 0), scaling(2, 2))
    shifted = indices(SIDE) + np.float32([6, 0])
    first_column = render_mask(noise()[..., 0], plain_view(SIDE, matrix, shifted))[:, 0]
    assert np.array_equal(first_column[::2], noise()[: SIDE // 2, 13, 0])


VIEWS = {"static": static_views, "video": video_views, "letterboxed": letterboxed_views}
SIZES = {"as large": (100, 130), "shrunk": (700, 900), "grown": (50, 40)}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("canvas", [CANVAS, WIDE])
def test_both_renderers_agree(make, size, canvas):
    picture = smooth_picture(*size)
    warps = 0
    for seed in range(5):
        torch.manual_seed(seed)
        views = make(size, 3, canvas)
        together = clip_of(as_clip(picture), views).permute(0, 2, 3, 1).numpy().astype(float)
        for view, by_clip in zip(views, together, strict=True):
            by_frame = render_frame(picture, view).astype(float)
            alone = np.abs(by_frame - RENDERERS["torch"](picture, view))
            assert alone.mean() < 0.5 and alone.max() <= 3
            assert np.abs(by_frame - by_clip).mean() < 1
            warps += view.warp is not None
    assert together.shape == (3, *canvas, 3)
    assert (warps > 0) == (make is static_views)


def test_one_picture_serves_all_views():
    torch.manual_seed(0)
    picture = smooth_picture(90, 120)
    views = static_views((90, 120), 3, CANVAS)
    clip = clip_of(as_clip(picture), views)
    assert clip.shape == (3, 3, SIDE, SIDE) and clip.dtype == torch.uint8
    assert torch.equal(clip, clip_of(as_clip(picture, picture, picture), views))


def test_every_frame_of_a_clip_gets_its_own_view():
    frames = as_clip(smooth_picture(SIDE, SIDE), noise())
    views = [plain_view(SIDE, sampling_matrix(flip(SIDE))), plain_view(SIDE, colour=GREY)]
    first, second = clip_of(frames, views)
    assert torch.equal(first, frames[0].flip(2))
    assert torch.equal(second[0], second[1]) and not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("zooms", "factor"), [([1.0], 1), ([4.0], 1), ([0.55], 1), ([0.4], 2), ([0.24], 4), ([0.9, 0.3, 2.0], 3)]
)
def test_sources_are_reduced_by_the_whole_number_that_the_most_shrunk_view_allows(zooms, factor):
    matrices = [sampling_matrix(affine((50, 50), 30, zoom, 10), flip(50)) for zoom in zooms]
    assert reduction([plain_view(SIDE, matrix) for matrix in matrices]) == factor


def test_a_reduced_picture_keeps_its_corners():
    corners = np.array([[-0.5, 199.5], [-0.5, 99.5], [1, 1]])
    assert np.allclose((reduced(4) @ corners)[:2], [[-0.5, 49.5], [-0.5, 24.5]])


def test_rounding_is_no_difference_between_two_ways_of_rendering_and_a_shift_is():
    clip = as_clip(smooth_picture(SIDE, SIDE))
    assert renders_apart(clip, clip.clamp(1, 254)) == ""
    assert "differ by more than 2" in renders_apart(clip, clip.roll(4, 3))
