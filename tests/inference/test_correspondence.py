"""What the shipped network's correspondences are worth on a made frame whose truth is known."""

from pathlib import Path

import pytest
import torch

from datasets.synthetic.clips import make_clip
from inference.correspondence import correspondence
from model.weights.checkpoint import load_network
from util.tensors import normalise

SHIPPED = Path(__file__).parents[2] / "saves/qdmn_small.pth"


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
    weights = correspondence(network, frame, frame)
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 150))
    assert (distances(weights, 15) <= 1).float().mean() >= 0.99
    assert weights[0].diagonal().median() > 0.5, "most of the weight stays in the cell itself"


def test_a_frame_finds_its_cells_after_a_shift_of_half_a_cell(network, frame):
    """No cell of one crop shows the same pixels as a cell of the other."""
    weights = correspondence(network, frame[..., :224], frame[..., 8:232])
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 140))
    assert (distances(weights, 14, 0.5) <= 1).float().mean() >= 0.97
