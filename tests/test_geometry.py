"""Matrices from the pixels of a view to those of its source."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, RandomAffine, RandomResizedCrop
from torchvision.transforms import functional as tvf

from datasets.geometry import (
    affine,
    flip,
    random_affine,
    random_flip,
    random_resized_crop,
    random_square,
    sampling_matrix,
    scaling,
    translation,
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
    ("degrees", "scale", "shear"), [(20, 1.0, 0), (0, 1.3, 0), (0, 1.0, 12), (-15, 0.8, -10), (10, 1.2, 8)]
)
def test_affine_maps_read_where_torchvision_reads(degrees, scale, shear):
    view = tvf.affine(own_indices(*SIZE), degrees, [0, 0], scale, [shear, 0.0], InterpolationMode.BILINEAR)
    assert largest_difference(sampling_matrix(affine(SIZE, degrees, scale, shear)), view) < 0.01


def test_flips_read_where_torchvision_reads():
    assert largest_difference(sampling_matrix(flip(SIZE[1])), tvf.hflip(own_indices(*SIZE))) < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_random_affine_maps_are_those_of_torchvision(seed):
    torch.manual_seed(seed)
    view = RandomAffine(20, scale=(0.9, 1.1), shear=10, interpolation=InterpolationMode.BILINEAR)(own_indices(*SIZE))
    torch.manual_seed(seed)
    matrix = sampling_matrix(random_affine(SIZE, degrees=20, scale=(0.9, 1.1), shear=10))
    assert largest_difference(matrix, view) < 0.01


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("side", [24, 96])
def test_random_crops_are_those_of_torchvision(side, seed):
    torch.manual_seed(seed)
    view = RandomResizedCrop(side, scale=(0.36, 1.0), antialias=False)(own_indices(*SIZE))
    torch.manual_seed(seed)
    assert largest_difference(sampling_matrix(random_resized_crop(SIZE, side, (0.36, 1.0))), view) < 0.01


def test_half_of_all_views_are_flipped():
    torch.manual_seed(0)
    draws = [random_flip(80) for _ in range(200)]
    assert all(np.array_equal(draw, flip(80)) or np.array_equal(draw, np.eye(3)) for draw in draws)
    assert 70 < sum(draw[0, 0] < 0 for draw in draws) < 130


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (300, 451), (20, 30), (50, 50)])
def test_random_squares_span_the_shorter_side_and_reach_both_ends_of_the_longer(height, width):
    torch.manual_seed(0)
    corners = np.array([[0, 48], [0, 48], [1, 1]])
    spans = np.stack([(np.linalg.inv(random_square((height, width), 48)) @ corners)[:2] for _ in range(300)])
    longer, shorter = (spans[:, 0], spans[:, 1]) if width > height else (spans[:, 1], spans[:, 0])
    assert np.allclose(shorter, [0, min(height, width)])
    assert longer.min() == pytest.approx(0) and longer.max() == pytest.approx(max(height, width))
    assert np.allclose(np.diff(longer), min(height, width), rtol=0.02)


def test_no_change_reads_every_pixel_itself():
    assert np.allclose(sampling_matrix(np.eye(3)), np.eye(3))


def test_steps_are_taken_in_their_order():
    crop = translation(-10, 0)
    assert (sampling_matrix(flip(80), crop) @ [0, 0, 1])[0] == pytest.approx(69)
    assert (sampling_matrix(crop, flip(20)) @ [0, 0, 1])[0] == pytest.approx(29)


def test_two_pixels_of_a_doubled_picture_share_one_pixel_evenly():
    read = sampling_matrix(scaling(2, 2)) @ np.array([[0, 1], [0, 1], [1, 1]])
    assert np.allclose(read[:2], [[-0.25, 0.25], [-0.25, 0.25]])
