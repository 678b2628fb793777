"""What the shipped network's correspondences are worth on a made frame whose truth is known, and cells of points."""

from pathlib import Path

import pytest
import torch

from datasets.synthetic.clips import make_clip
from inference.correspondence import Correspondence, cells_of_points, strongest_point, to_pixels
from model.weights.checkpoint import load_network
from util.tensors import normalise

SHIPPED = Path(__file__).parents[2] / "saves/qdmn_small.pth"
PADDING = (2, 4, 3, 3)


@pytest.fixture(scope="module")
def network():
    return load_network(SHIPPED, torch.device("cpu"))


@pytest.fixture(scope="module")
def frame():
    """A textured frame with two objects, (1,3,160,240)."""
    return normalise(make_clip(3, 1, 160, 240, 2)[0][0])[None]


def distances(weights, width, shift=0.0):
    """Chebyshev distance, in cells, of each target cell's strongest source cell from its true place.

    The true place lies `shift` columns to the right; a grid is `width` cells wide.
    """
    source, target = weights[0].argmax(0), torch.arange(weights.shape[-1])
    rows = (source // width - target // width).abs()
    columns = (source % width - target % width - shift).abs()
    return torch.maximum(rows, columns)


def test_a_frame_finds_its_cells_in_itself(network, frame):
    weights = Correspondence(network, frame, frame).weights()
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 150))
    assert (distances(weights, 15) <= 1).float().mean() >= 0.99
    assert weights[0].diagonal().median() > 0.5, "most of the weight stays in the cell itself"


def test_a_frame_finds_its_cells_after_a_shift_of_half_a_cell(network, frame):
    """No cell of one crop shows the same pixels as a cell of the other."""
    weights = Correspondence(network, frame[..., :224], frame[..., 8:232]).weights()
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 140))
    assert (distances(weights, 14, 0.5) <= 1).float().mean() >= 0.95


def test_the_cell_of_a_point_counts_from_the_padded_corner():
    maps = cells_of_points([(0, 0), (13, 12), (14, 13)], (58, 90), PADDING)
    assert maps.shape == (3, 4, 6)
    assert [tuple(one.nonzero()[0].tolist()) for one in maps] == [(0, 0), (0, 0), (1, 1)]
    assert (maps.sum((1, 2)) == 1).all()


def test_the_strongest_point_is_the_centre_of_its_cell_within_the_frame():
    maps = cells_of_points([(14, 13), (0, 0), (89, 57)], (58, 90), PADDING)
    points = [strongest_point(one, (58, 90), PADDING) for one in maps]
    assert points == [(22, 21), (6, 5), (86, 53)]
    assert strongest_point(torch.ones(1, 1), (4, 5), (5, 6, 6, 6)) == (3, 2)


def test_maps_of_pixels_have_the_size_before_padding():
    pixels = to_pixels(cells_of_points([(30, 30)], (58, 90), PADDING), PADDING)
    assert pixels.shape == (1, 58, 90)
    assert pixels[0, 37, 38] > 0.9
    assert pixels[0, 5, 5] == 0
