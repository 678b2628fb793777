"""Reading of masks in the forms that people have."""

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_objects, voc_palette
from datasets.mask_reader import MaskReader, MaskRules
from util.errors import InputError

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def save(path, pixels, palette=None, mode=None):
    picture = Image.fromarray(np.asarray(pixels))
    if palette is not None:
        picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    (picture.convert(mode) if mode else picture).save(path)
    return path


def grey(*rows):
    return np.array(rows, np.uint8)


def colours(*rows):
    return np.array(rows, np.uint8)


def test_palette_indices_are_ids_and_their_colours_are_kept(tmp_path):
    own = np.random.default_rng(0).integers(0, 256, (256, 3))
    reader = MaskReader()
    ids = reader.read(save(tmp_path / "a.png", grey([0, 1], [2, 7]), own))
    reader.read(save(tmp_path / "b.png", grey([0, 1], [2, 7]), voc_palette()))
    assert ids.dtype == np.uint16 and ids.tolist() == [[0, 1], [2, 7]]
    assert reader.palette.dtype == np.uint8 and np.array_equal(reader.palette, own)


def test_a_short_palette_is_filled_up(tmp_path):
    reader = MaskReader()
    reader.read(save(tmp_path / "a.png", grey([0, 1]), [BLACK, GREEN]))
    assert reader.palette.shape == (256, 3) and reader.palette[1].tolist() == list(GREEN)


def test_grey_values_are_ids(tmp_path):
    reader = MaskReader()
    assert reader.read(save(tmp_path / "a.png", grey([0, 3], [200, 0]))).tolist() == [[0, 3], [200, 0]]
    assert np.array_equal(reader.palette, voc_palette())


def test_one_bit_masks_hold_object_one(tmp_path):
    assert MaskReader().read(save(tmp_path / "a.png", grey([0, 255]), mode="1")).tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_wide_grey_values_are_ids_and_255_is_one_of_them(tmp_path, dtype):
    path = save(tmp_path / "a.tif", np.array([[0, 255], [256, 65535]], dtype))
    assert MaskReader().read(path).tolist() == [[0, 255], [256, 65535]]


def test_ids_beyond_sixteen_bits_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.tif holds ids outside"):
        MaskReader().read(save(tmp_path / "a.tif", np.array([[0, 70000]], np.int32)))


@pytest.mark.parametrize("palette", [None, voc_palette()])
def test_youtube_takes_255_as_void_only_beside_other_ids(tmp_path, palette):
    reader = MaskReader(MaskRules(void_beside_ids=True))
    path = save(tmp_path / "a.png", grey([0, 1, 255]), palette)
    assert reader.read(path).tolist() == [[0, 1, 0]] and "255 is void" in reader.remarks(path)[0]
    assert reader.read(save(tmp_path / "b.png", grey([0, 255, 255]), palette)).tolist() == [[0, 255, 255]]


def test_255_is_an_object_like_others_and_that_is_said(tmp_path):
    reader, path = MaskReader(), save(tmp_path / "a.png", grey([0, 128, 255]))
    assert reader.read(path).tolist() == [[0, 128, 255]] and "255 is an object" in reader.remarks(path)[0]
    assert MaskReader(MaskRules(void=255)).read(path).tolist() == [[0, 128, 0]]


def test_255_along_edges_is_void_in_the_palette_of_pascal_voc_alone(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:35, 5:55] = 255
    mask[9:31, 9:51] = 3
    reader, path = MaskReader(), save(tmp_path / "voc.png", mask, voc_palette())
    assert np.unique(reader.read(path)).tolist() == [0, 3] and "PASCAL VOC" in reader.remarks(path)[0]
    own = voc_palette()
    own[255] = RED
    assert np.unique(MaskReader().read(save(tmp_path / "own.png", mask, own))).tolist() == [0, 3, 255]
    mask[:, 30:] = 255
    assert np.unique(MaskReader().read(save(tmp_path / "area.png", mask, voc_palette()))).tolist() == [0, 3, 255]


def test_colours_are_objects_numbered_as_they_appear(tmp_path):
    reader = MaskReader()
    first = reader.read(save(tmp_path / "a.png", colours([BLACK, RED], [GREEN, RED])))
    second = reader.read(save(tmp_path / "b.png", colours([BLUE, WHITE], [RED, BLACK])))
    assert first.dtype == np.uint16 and first.tolist() == [[0, 2], [1, 2]]
    assert second.tolist() == [[3, 4], [2, 0]]
    assert reader.palette[:5].tolist() == [list(c) for c in (BLACK, GREEN, RED, BLUE, WHITE)]


def test_transparent_pixels_are_background(tmp_path):
    pixels = np.array([[(255, 0, 0, 255), (0, 255, 0, 0), (0, 0, 255, 1)]], np.uint8)
    assert MaskReader().read(save(tmp_path / "a.png", pixels)).tolist() == [[2, 0, 1]]
    assert MaskReader().read(save(tmp_path / "b.png", np.array([[(3, 255), (4, 0)]], np.uint8))).tolist() == [[3, 0]]


def test_an_rgb_file_of_grey_is_grey(tmp_path):
    reader = MaskReader()
    assert reader.read(save(tmp_path / "a.png", grey([0, 2, 255]), mode="RGB")).tolist() == [[0, 2, 255]]
    assert reader.read(save(tmp_path / "b.png", grey([0, 255]), mode="RGB")).tolist() == [[0, 255]]


def test_white_stays_the_same_object_where_it_is_alone(tmp_path):
    reader = MaskReader()
    reader.read(save(tmp_path / "a.png", colours([RED, WHITE, BLACK])))
    assert reader.read(save(tmp_path / "b.png", colours([WHITE, WHITE, BLACK]))).tolist() == [[2, 2, 0]]


def test_too_many_colours_are_refused_and_forgotten(tmp_path):
    reader = MaskReader()
    photo = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    with pytest.raises(InputError, match=r"photo\.png .*more than 255 colours"):
        reader.read(save(tmp_path / "photo.png", photo))
    assert reader.read(save(tmp_path / "a.png", colours([RED, BLACK]))).tolist() == [[1, 0]]


def test_255_colours_are_allowed(tmp_path):
    ramp = np.array([[(i, 255 - i, 7) for i in range(255)]], np.uint8)
    reader = MaskReader(MaskRules(background=0))
    assert reader.read(save(tmp_path / "a.png", ramp)).tolist() == [list(range(1, 256))]


def test_jpegs_are_refused_whatever_their_name(tmp_path):
    jpeg = save(tmp_path / "a.jpg", grey([0, 255]))
    renamed = tmp_path / "b.png"
    renamed.write_bytes(jpeg.read_bytes())
    for path in (jpeg, renamed):
        with pytest.raises(InputError, match=f"{path} is a JPEG.*PNG"):
            MaskReader().read(path)


def test_unreadable_masks_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("mask")
    for name, complaint in (("missing.png", "does not exist"), ("text.png", "cannot be read as a picture")):
        with pytest.raises(InputError, match=f"{name} {complaint}"):
            MaskReader().read(tmp_path / name)
    with pytest.raises(InputError, match="unknown kind"):
        MaskReader().read(save(tmp_path / "a.tif", np.zeros((2, 2), np.float32)))


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
