"""Masks in the forms that people have: ids, colours, background and void."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, voc_palette
from datasets.mask_reader import MaskReader, MaskRules, parse_value
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


def two_objects(background, first, second):
    mask = np.empty((40, 60, *np.shape(background)), np.uint8)
    mask[:] = background
    mask[5:20, 5:25], mask[25:35, 40:55] = first, second
    return mask


def areas(ids):
    return dict(zip(*(values.tolist() for values in np.unique(ids, return_counts=True)), strict=True))


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


def test_a_colour_around_everything_is_the_background_and_that_is_said(tmp_path):
    reader, path = MaskReader(), save(tmp_path / "m.png", two_objects(WHITE, RED, GREEN))
    assert areas(reader.read(path)) == {0: 1950, 1: 150, 2: 300}
    assert "#ffffff is the background" in reader.remarks(path)[0]
    assert reader.palette[:3].tolist() == [list(WHITE), list(GREEN), list(RED)]


def test_the_first_mask_decides_for_the_whole_video(tmp_path):
    reader = MaskReader()
    reader.read(save(tmp_path / "a.png", two_objects(WHITE, RED, GREEN)))
    assert areas(reader.read(save(tmp_path / "b.png", two_objects(RED, WHITE, BLUE)))) == {0: 300, 2: 1950, 3: 150}


def test_black_of_an_adaptive_palette_is_the_background(tmp_path):
    path = save(tmp_path / "m.png", two_objects(2, 1, 0), [GREEN, RED, (0, 0, 0)])
    reader = MaskReader()
    assert areas(reader.read(path)) == {0: 1950, 1: 300, 2: 150}
    assert "id 2 (#000000) is the background" in reader.remarks(path)[0]
    assert reader.palette[:3].tolist() == [[0, 0, 0], list(RED), list(GREEN)]


def test_a_background_that_cannot_be_told_is_asked_for(tmp_path):
    pixels = two_objects(BLUE, RED, GREEN)
    pixels[:, 30:] = WHITE
    path = save(tmp_path / "m.png", pixels)
    with pytest.raises(InputError, match=r"no black, .*--background COLOUR"):
        MaskReader().read(path)
    assert areas(MaskReader(MaskRules(background=WHITE)).read(path))[0] == 1200
    assert 0 not in areas(MaskReader(MaskRules(background=0)).read(path))


def test_an_id_that_covers_the_border_stays_an_object_with_a_warning(tmp_path):
    path = save(tmp_path / "m.png", two_objects(255, 0, 0))
    reader = MaskReader()
    assert areas(reader.read(path)) == {0: 450, 255: 1950}
    assert "covers the whole border and 81 % of the frame: --background 255" in reader.remarks(path)[-1]
    assert areas(MaskReader(MaskRules(background=255)).read(path)) == {0: 1950, 255: 450}


def test_a_colour_names_no_id_in_a_grey_mask(tmp_path):
    path = save(tmp_path / "m.png", two_objects(0, 1, 2))
    with pytest.raises(InputError, match="has no colour #ff0000"):
        MaskReader(MaskRules(background=RED)).read(path)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("#ff0000", RED), ("255,255,255", WHITE), ("white", WHITE)])
def test_values_are_ids_or_colours(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["65536", "-1", "1,2", "300,0,0", "colour", "²", "9" * 30])
def test_other_values_are_refused(text):
    with pytest.raises(ValueError):
        parse_value(text)


@pytest.mark.parametrize(("bits", "content"), [(2, [0x1B]), (4, [0x01, 0x23])])
def test_grey_of_few_bits_keeps_its_values(tmp_path, bits, content):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, *content]))
    path = tmp_path / "m.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    assert read_ids(path).tolist() == MaskReader().read(path).tolist() == [[0, 1, 2, 3]]
