"""Contact sheets, and what is drawn into frames."""

import numpy as np
import pytest

from datasets.frame_files import read_frame
from datasets.mask_files import voc_palette
from evaluation.report.pictures import (
    CAPTION_HEIGHT,
    MARGIN,
    contact_sheet,
    draw_objects,
    mark_points,
    overlay_heat,
    write_picture,
)

GREY = np.full((90, 160, 3), 120, np.uint8)


def square(object_id=1):
    ids = np.zeros((90, 160), np.uint8)
    ids[30:60, 50:100] = object_id
    return ids


def test_frames_stand_in_rows_with_margins_and_captions():
    sheet = contact_sheet([GREY] * 5, [square()] * 5, ["caption"] * 5, columns=3, width=80)
    assert sheet.shape == (2 * (45 + CAPTION_HEIGHT + MARGIN) + MARGIN, 3 * (80 + MARGIN) + MARGIN, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[:MARGIN] == 255).all()
    assert (sheet[-(45 + CAPTION_HEIGHT + MARGIN) :, -(80 + MARGIN) :] == 255).all(), "the sixth place is empty"


def test_captions_are_drawn_below_their_frames():
    captioned, plain = (contact_sheet([GREY], [square()], [text]) for text in ("quality 0.93", ""))
    changed = np.flatnonzero((captioned != plain).any(axis=(1, 2)))
    assert changed.min() >= MARGIN + 180
    assert changed.max() < MARGIN + 180 + CAPTION_HEIGHT


def test_objects_are_outlined_outside_and_faintly_filled_inside():
    colour = voc_palette()[5]
    picture = draw_objects(GREY, square(5), outline=2)
    assert (picture[45, 48:50] == colour).all()
    assert (picture[45, 100:102] == colour).all()
    assert (picture[45, 46] == GREY[0, 0]).all()
    inside = picture[45, 75].astype(int)
    assert (np.abs(inside - (0.7 * 120 + 0.3 * colour)) <= 1).all()


def test_an_empty_mask_leaves_the_frame_as_it_is():
    np.testing.assert_array_equal(draw_objects(GREY, np.zeros((90, 160), np.uint8), outline=2), GREY)


def test_ids_may_have_another_size_than_the_frame():
    assert contact_sheet([GREY], [square()[:, :-1]], [""]).shape == contact_sheet([GREY], [square()], [""]).shape


def test_fewer_frames_than_columns_make_a_narrow_sheet():
    assert contact_sheet([GREY], [square()], [""], columns=4, width=80).shape[1] == 80 + 2 * MARGIN


def test_unequal_numbers_of_frames_and_captions_are_refused():
    with pytest.raises(ValueError, match="argument 3"):
        contact_sheet([GREY], [square()], ["one", "two"])
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [], [])


def test_a_written_sheet_reads_back(tmp_path):
    sheet = contact_sheet([GREY], [square()], ["caption"])
    write_picture(tmp_path / "sheet.png", sheet)
    np.testing.assert_array_equal(read_frame(tmp_path / "sheet.png"), sheet)


# Heat and points


def changed(picture):
    return (picture != GREY).any(-1)


def test_each_map_is_relative_to_its_maximum_and_zeros_leave_no_trace():
    heat = np.zeros((1, 90, 160), np.float32)
    assert (overlay_heat(GREY, heat) == GREY).all()
    heat[0, 2:4, 2:4] = 0.5
    assert (overlay_heat(GREY, heat) == overlay_heat(GREY, heat / 100)).all()
    assert (changed(overlay_heat(GREY, heat)) == (heat[0] > 0)).all()


def test_crosses_leave_the_picture_that_was_given_alone():
    before = GREY.copy()
    assert changed(mark_points(GREY, [(10, 10), (95, 63)])).any()
    assert (before == GREY).all()
