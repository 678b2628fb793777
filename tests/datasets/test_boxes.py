"""Boxes of masks, masks of boxes, and their text files."""

import numpy as np
import pytest
from PIL import Image

from datasets.boxes.boxes import (
    box_of_mask,
    cut_out,
    fill_box,
    format_rows,
    grabcut,
    is_whole_box,
    mask_of_box,
    read_boxes,
)
from datasets.frame_files import FrameFolder
from util.errors import InputError
from util.text_files import read_numbers


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (3, 2, 4, 5), (0, 0, 20, 10), (19, 9, 1, 1)])
def test_a_whole_box_within_the_image_comes_back_from_its_mask(box):
    mask = mask_of_box(box, (10, 20))
    assert mask.sum() == box[2] * box[3]
    assert box_of_mask(mask) == box


def test_an_empty_mask_has_no_box():
    assert box_of_mask(np.zeros((4, 5), bool)) is None


def test_the_box_of_a_mask_spans_all_its_parts():
    mask = np.zeros((9, 9), bool)
    mask[1, 7] = mask[6, 2] = True
    assert box_of_mask(mask) == (2, 1, 6, 6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-4, -3, 10, 10), (0, 0, 6, 7)),
        ((15, 5, 100, 100), (15, 5, 5, 5)),
        ((2.4, 2.6, 3.0, 3.0), (2, 3, 3, 3)),
        ((5.2, 5.2, 0.1, 0.1), (5, 5, 1, 1)),
        ((-0.9, 0, 1, 1), (0, 0, 1, 1)),
        ((19.9, 9.9, 5, 5), (19, 9, 1, 1)),
    ],
)
def test_a_box_is_rounded_cut_at_the_borders_and_never_empty(box, expected):
    assert box_of_mask(mask_of_box(box, (10, 20))) == expected


@pytest.mark.parametrize("box", [(-5, 0, 5, 5), (20, 0, 5, 5), (0, -9, 5, 9), (0, 10, 5, 5), (float("nan"), 0, 5, 5)])
def test_a_box_outside_of_the_image_has_no_mask(box, tmp_path):
    assert mask_of_box(box, (10, 20)) is None
    with pytest.raises(InputError, match=r"truth\.txt.*outside"):
        fill_box(tmp_path / "truth.txt", box, (10, 20), (10, 20))


@pytest.mark.parametrize("place", [0, 7, 33, 98, 99])
def test_a_tiny_box_is_still_there_in_the_size_in_which_the_network_works(tmp_path, place):
    ids = fill_box(tmp_path, (place, place, 1, 1), (100, 100), (30, 30))
    nearest = (np.arange(30) * 100 / 30).astype(int)
    assert ids[np.ix_(nearest, nearest)].any()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1), (0, 0, float("nan"), 5), (float("inf"), 0, 5, 5)])
def test_a_box_without_size_is_no_box(box):
    assert not is_whole_box(box)
    assert is_whole_box((-3, -3, 1, 1))


@pytest.mark.parametrize("text", ["1,2,3,4\n5,6,7,8\n", "1\t2\t3\t4\n5\t6\t7\t8", "1 2 3 4\r\n\r\n5, 6, 7.0, 8\n\n"])
def test_boxes_may_be_separated_by_commas_tabs_or_spaces(tmp_path, text):
    (tmp_path / "boxes.txt").write_text(text)
    assert read_boxes(tmp_path / "boxes.txt").tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("row", ["inf,2,3,4", "1,NaN,3,4", "1e999,2,3,4"])
def test_a_row_that_is_infinite_or_partly_nan_is_no_box(tmp_path, row):
    (tmp_path / "boxes.txt").write_text(f"1,2,3,4\n{row}\n")
    with pytest.raises(InputError, match=r"row 2 of .*boxes\.txt is no box"):
        read_boxes(tmp_path / "boxes.txt")


def test_nan_is_read(tmp_path):
    (tmp_path / "boxes.txt").write_text("1,2,3,4\nNaN,NaN,NaN,NaN\n")
    assert np.isnan(read_boxes(tmp_path / "boxes.txt")[1]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"1,2,3\n4,5,6\n", "3 numbers in a row"),
        (b"1,2,3,4\n1,2,3\n", "no table of numbers"),
        (b"a,b,c,d\n", "no table of numbers"),
        (b"1,5 2,5 3,5 4,5\n", "decimal commas"),
        (b"\xff\xd8\xff\xe0 JFIF", "no text"),
    ],
)
def test_files_that_hold_no_boxes_are_named(tmp_path, content, message):
    (tmp_path / "boxes.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"boxes\.txt.*{message}"):
        read_boxes(tmp_path / "boxes.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.txt"):
        read_numbers(tmp_path / "nothing.txt")


def test_rows_are_written_in_the_form_that_is_asked_for():
    rows = np.array([[1.9999, -1.9, 3, 4.0006]])
    assert format_rows(rows, "%d", "\t") == "1\t-1\t3\t4\n"
    assert format_rows(rows, "%.3f") == "2.000,-1.900,3.000,4.001\n"


def textured(seed=0):
    """A bright disk on a dark noisy ground, and its mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :80]
    disk = (y - 30) ** 2 + (x - 40) ** 2 < 15**2
    pixels = np.where(disk[..., None], (220, 180, 40), (30, 40, 90)) + rng.integers(-15, 16, (60, 80, 3))
    return pixels.clip(0, 255).astype(np.uint8), disk


def test_grabcut_finds_the_object_in_its_box_and_always_the_same():
    pixels, disk = textured()
    rectangle = mask_of_box(box_of_mask(disk), disk.shape)
    found = grabcut(pixels, rectangle)
    assert (found & disk).sum() / (found | disk).sum() > 0.95 > disk.sum() / rectangle.sum()
    assert np.array_equal(found, grabcut(pixels, rectangle))


def test_grabcut_keeps_within_its_rectangle():
    flat = np.full((60, 80, 3), 90, np.uint8)
    for rectangle in (mask_of_box((20, 20, 30, 20), (60, 80)), np.ones((60, 80), bool)):
        assert (grabcut(flat, rectangle) <= rectangle).all()


def test_what_is_cut_out_lies_in_its_box_and_is_never_next_to_nothing(tmp_path):
    pixels, disk = textured()
    Image.fromarray(pixels).save(tmp_path / "0.png")
    rectangle = mask_of_box((30, 20, 40, 30), disk.shape)

    def cut(find):
        box = (30.0, 20.0, 40.0, 30.0)
        return cut_out(tmp_path / "box.txt", box, disk.shape, disk.shape, FrameFolder(tmp_path), find) > 0

    def find_disk(seen, box):
        assert np.array_equal(seen, pixels) and np.array_equal(box, rectangle)
        return disk

    assert np.array_equal(cut(find_disk), disk & rectangle)
    assert np.array_equal(cut(lambda pixels, box: np.zeros_like(box)), rectangle)
