"""Which value of a mask is the background."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids
from datasets.mask_reader import MaskReader, MaskRules, parse_value
from datasets.test.mask_notes import MaskNote, note_lines
from util.errors import InputError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def two_objects(background, first, second):
    mask = np.empty((40, 60, *np.shape(background)), np.uint8)
    mask[:] = background
    mask[5:20, 5:25], mask[25:35, 40:55] = first, second
    return mask


def save(path, pixels, palette=None):
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(np.array(palette, np.uint8).tobytes())
    picture.save(path)
    return path


def areas(ids):
    return dict(zip(*(values.tolist() for values in np.unique(ids, return_counts=True)), strict=True))


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


def test_lines_on_masks_begin_with_the_surprising_ones():
    ids = two_objects(0, 1, 2)
    notes = [MaskNote.of("dog", f"{frame:05d}", ids, ["taken for it"] if frame == 2 else []) for frame in range(4)]
    lines = note_lines(notes, most=3)
    assert lines[0] == "mask of dog, frame 00002: object 1 12 %, object 2 6.2 %; taken for it"
    assert len(lines) == 4 and lines[-1] == "... and 1 more masks"
