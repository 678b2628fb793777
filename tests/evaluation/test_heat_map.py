"""Cells of points, and heat over a picture."""

import numpy as np
import torch

from evaluation.report.heat_map import cells_of_points, mark_points, overlay_heat, strongest_point, to_pixels

GREY = np.full((64, 96, 3), 120, np.uint8)
PADDING = (2, 4, 3, 3)


def changed(picture):
    return (picture != GREY).any(-1)


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


def test_each_map_is_relative_to_its_maximum_and_zeros_leave_no_trace():
    heat = np.zeros((1, 64, 96), np.float32)
    assert (overlay_heat(GREY, heat) == GREY).all()
    heat[0, 2:4, 2:4] = 0.5
    assert (overlay_heat(GREY, heat) == overlay_heat(GREY, heat / 100)).all()
    assert (changed(overlay_heat(GREY, heat)) == (heat[0] > 0)).all()


def test_crosses_leave_the_picture_that_was_given_alone():
    before = GREY.copy()
    assert changed(mark_points(GREY, [(10, 10), (95, 63)])).any()
    assert (before == GREY).all()
