"""Thin-plate-spline warps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from datasets.tps import RandomThinPlateWarp, draw_control_points, pixel_map, warp

FIXTURE = Path(__file__).parent / "fixtures/tps_warp.npz"


def identity_pixels(height, width):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], dim=-1).float()


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


def test_control_points_lie_on_distinct_rows_and_columns():
    source, _ = draw_control_points(40, 60)
    assert source.shape == (12, 2)
    assert len((source[:, 0] * 60).round().unique()) == 12
    assert len((source[:, 1] * 40).round().unique()) == 12
    assert source.min() >= 0 and source.max() < 1


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_warping_by_pixel_indices_copies_pixels(mode):
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    pixels = identity_pixels(20, 30)
    assert torch.equal(warp(image, pixels, mode), image)
    assert torch.equal(warp(image, pixels.flip(1), mode), image.flip(2))


def test_bilinear_warp_reads_between_pixels():
    image = torch.tensor([[[0.0, 1.0, 4.0]]]).expand(1, 3, 3)
    pixels = identity_pixels(3, 3)
    pixels[1, 0, 0] = 1.25
    assert warp(image, pixels, "bilinear")[0, 1, 0] == pytest.approx(1.75)


def test_pixels_read_outside_are_zero():
    image = torch.full((1, 10, 10), 9, dtype=torch.uint8)
    warped = warp(image, identity_pixels(10, 10) + torch.tensor([4.0, 0.0]), "bilinear")
    assert (warped[..., :6] == 9).all() and (warped[..., 6:] == 0).all()


def test_warped_masks_invent_no_values():
    torch.manual_seed(3)
    mask = tv_tensors.Mask(torch.randint(0, 3, (1, 48, 48), dtype=torch.uint8) * 100)
    warped = RandomThinPlateWarp(1.0)(Image.new("RGB", (48, 48)), mask)[1]
    assert isinstance(warped, tv_tensors.Mask) and warped.dtype == torch.uint8
    assert set(warped.unique().tolist()) <= {0, 100, 200}
    assert not torch.equal(warped, mask)


def test_the_warp_happens_with_its_probability():
    torch.manual_seed(0)
    mask = tv_tensors.Mask(torch.randint(0, 256, (1, 16, 16), dtype=torch.uint8))
    picture = Image.new("RGB", (16, 16))
    transform = RandomThinPlateWarp(0.33)
    warped = sum(not torch.equal(transform(picture, mask)[1], mask) for _ in range(300))
    assert 70 <= warped <= 130
