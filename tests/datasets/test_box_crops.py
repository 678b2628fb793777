"""Crops around boxes, against the published ones."""

import json

import numpy as np
import pytest

from datasets.boxes.crops import Crop, box_in_crop, crop_around
from tests.helpers.deterministic import FIXTURES, fixture, make_clip

PUBLISHED = json.loads((FIXTURES / "droptrack_data.json").read_text())
ARRAYS = fixture("droptrack_data")


@pytest.fixture(scope="module")
def frame():
    rgb, _ = make_clip(1, 180, 320)
    return np.clip(np.round(128 + 48 * rgb[0].astype(np.float64)), 0, 255).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize("case", PUBLISHED["sample_target"], ids=lambda case: case["name"])
def test_a_crop_equals_the_published_one(frame, case):
    crop = crop_around(case["box"], case["factor"], case["size"])
    assert crop.resize_factor == case["resize_factor"]
    difference = crop.cut(frame).astype(int) - ARRAYS[f"crop_{case['name']}"]
    assert abs(difference).max() <= 1 and abs(difference).mean() < 0.01
    rows, columns = crop.outside(frame.shape[:2])
    outside = np.unpackbits(ARRAYS[f"att_{case['name']}"])[: case["size"] ** 2].reshape(case["size"], -1)
    assert np.array_equal(rows[:, None] | columns, outside.astype(bool))


def test_a_box_in_its_crop_is_where_it_was_published():
    for row in ARRAYS["to_crop"].astype(float):
        np.testing.assert_allclose(box_in_crop(row[:4], row[4:8], row[8], 384), row[9:], atol=1e-6)


def test_the_last_row_and_column_of_a_frame_are_black():
    white = np.full((40, 60, 3), 255, np.uint8)
    seen = Crop(30, 20, 30, 30).cut(white)
    assert (seen[:19, :29] == 255).all() and (seen[19:] == 0).all() and (seen[:, 29:] == 0).all()


def test_a_crop_beside_the_frame_is_black_and_outside():
    crop = crop_around((400, 60, 20, 20), 2, 32)
    assert not crop.cut(np.full((180, 320, 3), 9, np.uint8)).any()
    assert crop.outside((180, 320))[1].all()


@pytest.mark.parametrize("box", [(5, 5, 0, 9), (5, 5, np.nan, 9), (5, 5, np.inf, 9)])
def test_there_is_no_crop_around_nothing(box):
    assert crop_around(box, 2, 64) is None
