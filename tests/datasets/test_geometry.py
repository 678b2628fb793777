"""Matrices from the pixels of a view to those of its source."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, RandomAffine, RandomResizedCrop
from torchvision.transforms import functional as tvf

from datasets.train.geometry import (
    affine,
    flip,
    letterbox,
    random_affine,
    random_cover,
    random_flip,
    random_margins,
    random_resized_crop,
    sampling_matrix,
    scaling,
    translation,
    transposition,
)

SIZE = (61, 80)


def own_indices(height, width):
    """A picture (2,H,W) whose pixels hold their own (x, y)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float()


def largest_difference(matrix, view):
    """Between the pixels that the matrix reads and those that a view of `own_indices` shows, away from borders."""
    read = np.einsum("ij,jhw->ihw", matrix[:2, :2], own_indices(*view.shape[1:]).numpy()) + matrix[:2, 2, None, None]
    inside = ((read > 2) & (read < np.array(SIZE[::-1]).reshape(2, 1, 1) - 3)).all(0)
    inside[[0, 1, -2, -1]] = inside[:, [0, 1, -2, -1]] = False
    assert inside.mean() > 0.4
    return np.abs(read - view.numpy())[:, inside].max()


@pytest.mark.parametrize(
    ("degrees", "scale", "shear"),
    [
        (20, 1.0, (0, 0)),
        (0, 1.3, (0, 0)),
        (0, 1.0, (12, 0)),
        (0, 1.0, (0, -9)),
        (-15, 0.8, (-10, 0)),
        (10, 1.2, (8, -6)),
    ],
)
def test_affine_maps_read_where_torchvision_reads(degrees, scale, shear):
    view = tvf.affine(own_indices(*SIZE), degrees, [0, 0], scale, list(shear), InterpolationMode.BILINEAR)
    assert largest_difference(sampling_matrix(affine(SIZE, degrees, scale, *shear)), view) < 0.01


def test_flips_read_where_torchvision_reads():
    assert largest_difference(sampling_matrix(flip(SIZE[1])), tvf.hflip(own_indices(*SIZE))) < 1e-4


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("both_axes", [False, True])
def test_random_affine_maps_are_those_of_torchvision(seed, both_axes):
    torch.manual_seed(seed)
    shears = [-10, 10] + ([-7, 7] if both_axes else [])
    limits = {"scale": (0.9, 1.1), "shear": shears}
    view = RandomAffine(20, **limits, interpolation=InterpolationMode.BILINEAR)(own_indices(*SIZE))
    torch.manual_seed(seed)
    matrix = random_affine(SIZE, degrees=20, scale=(0.9, 1.1), shear=10, shear_y=7 if both_axes else 0)
    assert largest_difference(sampling_matrix(matrix), view) < 0.01


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("canvas", [(24, 24), (96, 96), (48, 32), (32, 57)])
def test_random_crops_are_those_of_torchvision_in_the_ratio_of_the_canvas(canvas, seed):
    torch.manual_seed(seed)
    ratio = (canvas[1] / canvas[0] * 3 / 4, canvas[1] / canvas[0] * 4 / 3)
    view = RandomResizedCrop(canvas, scale=(0.36, 1.0), ratio=ratio, antialias=False)(own_indices(*SIZE))
    torch.manual_seed(seed)
    assert largest_difference(sampling_matrix(random_resized_crop(SIZE, canvas, (0.36, 1.0))), view) < 0.01


def test_half_of_all_views_are_flipped():
    torch.manual_seed(0)
    draws = [random_flip(80) for _ in range(200)]
    assert all(np.array_equal(draw, flip(80)) or np.array_equal(draw, np.eye(3)) for draw in draws)
    assert 70 < sum(draw[0, 0] < 0 for draw in draws) < 130


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (300, 451), (20, 30), (50, 50)])
@pytest.mark.parametrize("canvas", [(48, 48), (48, 85)])
def test_random_covers_show_as_much_as_fits_and_reach_both_ends(canvas, height, width):
    torch.manual_seed(0)
    corners = np.array([[0, canvas[1]], [0, canvas[0]], [1, 1]])
    spans = np.stack([(np.linalg.inv(random_cover((height, width), canvas)) @ corners)[:2] for _ in range(300)])
    factor = max(canvas[0] / height, canvas[1] / width)
    for (low, high), side, shown in zip(spans.transpose(1, 2, 0), (width, height), canvas[::-1], strict=True):
        assert low.min() == pytest.approx(0) and high.max() == pytest.approx(side)
        assert np.allclose(high - low, shown / factor, rtol=0.02)


def test_a_transposition_swaps_rows_and_columns():
    view = own_indices(*SIZE).transpose(1, 2)
    read = np.einsum("ij,jhw->ihw", sampling_matrix(transposition())[:2, :2], own_indices(*SIZE[::-1]).numpy())
    assert np.allclose(read, view)


def test_random_margins_cut_each_side_by_up_to_their_share():
    torch.manual_seed(0)
    corners = np.array([[0, 80], [0, 60], [1, 1]])
    spans = np.stack([(np.linalg.inv(random_margins((60, 80), 0.1)) @ corners)[:2] for _ in range(400)])
    for (low, high), side in zip(spans.transpose(1, 2, 0), (80, 60), strict=True):
        for margin in (low, side - high):
            assert 0 <= margin.min() < 0.003 * side and 0.097 * side < margin.max() <= 0.1 * side
            assert margin.mean() == pytest.approx(0.05 * side, rel=0.1)
        assert abs(np.corrcoef(low, high)[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("size", "canvas", "box"),
    [
        ((480, 854), (240, 427), (0, 0, 240, 427)),
        ((480, 640), (240, 427), (0, 53, 240, 320)),
        ((480, 910), (240, 427), (7, 0, 225, 427)),
        ((48, 80), (32, 64), (0, 5, 32, 53)),
        ((100, 100), (48, 85), (0, 18, 48, 48)),
        ((20, 30), (240, 427), (0, 33, 240, 360)),
    ],
)
def test_a_letterbox_holds_the_whole_picture_in_the_middle(size, canvas, box):
    top, left, height, width = box
    corners = letterbox(size, canvas) @ np.array([[0, size[1]], [0, size[0]], [1, 1]])
    assert np.allclose(corners[:2], [[left, left + width], [top, top + height]])


def test_no_change_reads_every_pixel_itself():
    assert np.allclose(sampling_matrix(np.eye(3)), np.eye(3))


def test_steps_are_taken_in_their_order():
    crop = translation(-10, 0)
    assert (sampling_matrix(flip(80), crop) @ [0, 0, 1])[0] == pytest.approx(69)
    assert (sampling_matrix(crop, flip(20)) @ [0, 0, 1])[0] == pytest.approx(29)


def test_two_pixels_of_a_doubled_picture_share_one_pixel_evenly():
    read = sampling_matrix(scaling(2, 2)) @ np.array([[0, 1], [0, 1], [1, 1]])
    assert np.allclose(read[:2], [[-0.25, 0.25], [-0.25, 0.25]])
