"""Mask files of ids and of single objects: written and read."""

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, read_objects, voc_palette, write_ids
from tests.helpers.result_files import shown
from util.errors import InputError


def save(path, pixels, palette=None, mode=None):
    picture = Image.fromarray(np.asarray(pixels))
    if palette is not None:
        picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    (picture.convert(mode) if mode else picture).save(path)
    return path


def grey(*rows):
    return np.array(rows, np.uint8)


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


def test_numbered_pictures_give_their_numbers(tmp_path):
    paths = [
        save(tmp_path / "12.png", grey([0, 128, 255], [0, 0, 127])),
        save(tmp_path / "003.png", grey([255, 255, 0], [0, 0, 0])),
    ]
    ids = read_objects(paths)
    assert ids.dtype == np.uint16 and ids.tolist() == [[3, 12, 12], [0, 0, 0]]


@pytest.mark.parametrize("names", [("dog2", "dog10"), ("2", "cat"), ("0", "1"), ("1", "01"), ("1", "65536")])
def test_other_pictures_are_numbered_in_natural_order(tmp_path, names):
    paths = [save(tmp_path / f"{name}.png", grey([255, 0] if name == names[0] else [0, 255])) for name in names]
    assert sorted(read_objects(paths[::-1]).ravel().tolist()) == [1, 2]


def test_every_kind_of_black_and_white_picture_is_an_object(tmp_path):
    mask = grey([0, 255, 0])
    one_bit, palette = save(tmp_path / "1.png", mask, mode="1"), save(tmp_path / "2.png", mask // 255, voc_palette())
    rgb, jpeg = save(tmp_path / "3.png", mask, mode="RGB"), save(tmp_path / "4.jpg", np.repeat(mask, 16).reshape(3, 16))
    wide, clear = save(tmp_path / "5.png", mask.astype(np.uint16)), tmp_path / "6.png"
    Image.fromarray(np.array([[(255, 255), (255, 255), (255, 0)]], np.uint8)).save(clear)
    for number, path in enumerate((one_bit, palette, rgb), start=1):
        assert read_objects([path]).tolist() == [[0, number, 0]]
    assert read_objects([wide]).tolist() == [[0, 5, 0]]
    assert read_objects([clear]).tolist() == [[6, 6, 0]]
    assert np.array_equal(np.unique(read_objects([jpeg])), [0, 4])


def test_objects_of_different_sizes_are_refused(tmp_path):
    paths = [save(tmp_path / "1.png", grey([0, 255])), save(tmp_path / "2.png", grey([0, 255, 0]))]
    with pytest.raises(InputError, match=r"2\.png is 3x1 but .*1\.png is 2x1"):
        read_objects(paths)
    with pytest.raises(ValueError, match="no picture"):
        read_objects([])
