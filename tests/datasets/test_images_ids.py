"""Writing of object ids with a palette, and of many ids."""

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, voc_palette, write_ids
from tests.helpers.result_files import shown


def colours_of(path):
    with Image.open(path) as picture:
        return picture.mode, np.array(picture.getpalette("RGB")).reshape(-1, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_ids_to_255_are_a_palette_picture(tmp_path, dtype):
    ids = np.array([[0, 1], [2, 255]], dtype)
    write_ids(tmp_path / "mask.png", ids)
    mode, palette = colours_of(tmp_path / "mask.png")
    assert mode == "P" and np.array_equal(palette, voc_palette())
    assert np.array_equal(read_ids(tmp_path / "mask.png"), ids)


def test_the_palette_can_be_chosen(tmp_path):
    own = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    write_ids(tmp_path / "mask.png", np.array([[0, 1]], np.uint8), own)
    mode, palette = colours_of(tmp_path / "mask.png")
    assert mode == "P" and np.array_equal(palette, own)


@pytest.mark.parametrize("ids", [[[0, 256], [65535, 3]], [[0, 1], [2, 3]]])
def test_sixteen_bit_ids_are_sixteen_bit_grey(tmp_path, ids):
    ids = np.array(ids, np.uint16)
    write_ids(tmp_path / "mask.png", ids, voc_palette())
    with Image.open(tmp_path / "mask.png") as picture:
        assert picture.mode.startswith("I")
        assert np.array_equal(np.array(picture), ids)


def test_nothing_but_the_mask_is_left(tmp_path):
    write_ids(tmp_path / "mask.png", np.array([[0, 256]], np.uint16))
    assert [path.name for path in shown(tmp_path)] == ["mask.png"]
