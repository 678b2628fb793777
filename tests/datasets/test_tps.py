"""Thin-plate-spline warps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.train.tps import draw_control_points, pixel_map

FIXTURE = Path(__file__).parents[1] / "fixtures/tps_warp.npz"


def test_pixel_map_equals_the_published_one():
    published = np.load(FIXTURE)
    source, destination = (torch.from_numpy(published[key]).float() for key in ("c_src", "c_dst"))
    pixels = pixel_map(source, destination, 96, 144)
    assert np.abs(pixels[..., 0].numpy() - published["mapx"]).max() < 1e-3
    assert np.abs(pixels[..., 1].numpy() - published["mapy"]).max() < 1e-3


def test_the_map_carries_each_destination_point_to_its_source():
    torch.manual_seed(0)
    size = 101
    nodes = torch.stack([torch.randperm(size)[:12], torch.randperm(size)[:12]], dim=1)
    destination = nodes / (size - 1)
    source = destination + 0.02 * torch.randn(12, 2)
    pixels = pixel_map(source, destination, size, size)
    assert torch.allclose(pixels[nodes[:, 1], nodes[:, 0]], source * size, atol=1e-2)


def test_a_coarse_map_is_close_to_the_exact_one():
    for seed in range(6):
        torch.manual_seed(seed)
        points = draw_control_points(384, 384)
        coarse, exact = (pixel_map(*points, 384, 384, spacing=spacing) for spacing in (8, 1))
        difference = (coarse - exact).norm(dim=2)
        assert 0 < difference.mean() < 0.05
        assert difference.quantile(0.9) < 0.1


def test_a_coarse_map_is_exact_where_it_is_evaluated():
    torch.manual_seed(0)
    points = draw_control_points(97, 49)
    coarse, exact = (pixel_map(*points, 97, 49, spacing=spacing) for spacing in (8, 1))
    assert coarse.shape == exact.shape == (97, 49, 2)
    assert torch.allclose(coarse[::8, ::8], exact[::8, ::8], atol=1e-3)


def test_points_that_stay_leave_every_pixel_in_place_but_for_the_published_stretch():
    source, _ = draw_control_points(40, 60)
    pixels = pixel_map(source, source, 40, 60, spacing=8)
    assert torch.allclose(pixels[7, :, 0], torch.linspace(0, 60, 60), atol=1e-3)
    assert torch.allclose(pixels[:, 9, 1], torch.linspace(0, 40, 40), atol=1e-3)


def test_control_points_lie_on_distinct_rows_and_columns():
    source, _ = draw_control_points(40, 60)
    assert source.shape == (12, 2)
    assert len((source[:, 0] * 60).round().unique()) == 12
    assert len((source[:, 1] * 40).round().unique()) == 12
    assert source.min() >= 0 and source.max() < 1


def test_control_points_move_by_their_deviation():
    torch.manual_seed(0)
    moves = torch.cat([torch.sub(*draw_control_points(40, 60, deviation=0.05)) for _ in range(100)])
    assert moves.std().item() == pytest.approx(0.05, rel=0.1)
    assert moves.mean().abs() < 0.005
