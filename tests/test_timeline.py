"""Timelines of quality and memory."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from util.chart import LEGEND_ROW
from util.palette import voc_palette
from util.pen import Pen, readable, text_width
from util.quality_table import QualityRow
from util.score_tables import ObjectScore
from util.timeline import (
    ADMITTED,
    ANNOTATED,
    AXIS_HEIGHT,
    EVICTED,
    GUTTER,
    LANE_STEP,
    MARGIN,
    REJECTED,
    draw_timeline,
    write_timeline,
)

ONLY_LANE = slice(-MARGIN - LEGEND_ROW - AXIS_HEIGHT - LANE_STEP, -MARGIN - LEGEND_ROW - AXIS_HEIGHT)


def row(frame, object_id=1, quality=0.9, stored="temporary", rejected=False, evicted=None):
    return QualityRow(frame, f"{frame:05d}", object_id, quality, quality, stored, rejected, evicted, (0,))


def video(frames, objects=(1,), **changes):
    return [row(frame, object_id, **changes) for frame in range(frames) for object_id in objects]


def score(object_id, values, first_frame=1):
    names = tuple(f"{frame:05d}" for frame in range(first_frame, first_frame + len(values)))
    return ObjectScore("cat", object_id, np.array(values, float), np.array(values, float), names)


def pixels(picture, colour):
    """Positions (y, x) of the pixels of a colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=2) <= 12)


def places(picture, colour):
    """Means (y, x) of the columns of pixels of a colour that hang together, from left to right."""
    found = pixels(picture, colour)
    found = found[np.argsort(found[:, 1], kind="stable")]
    if not len(found):
        return []
    return [group.mean(axis=0) for group in np.split(found, np.flatnonzero(np.diff(found[:, 1]) > 2) + 1)]


def marks(picture, mark):
    """Where a mark lies in the only lane."""
    return places(picture[ONLY_LANE, GUTTER:], mark.colour)


def test_a_timeline_is_an_rgb_picture_of_the_asked_width():
    picture = draw_timeline(video(10), width=800)
    assert picture.shape[1:] == (800, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("object_id", [1, 4, 9, 255, 300])
def test_a_quality_is_a_line_in_the_colour_of_its_object(object_id):
    colour = readable(voc_palette()[object_id % 256])
    high, low = (
        pixels(draw_timeline(video(50, (object_id,), quality=q))[40:-120, GUTTER:], colour) for q in (0.75, 0.25)
    )
    assert np.ptp(high[:, 1]) > 800
    assert low[:, 0].mean() - high[:, 0].mean() == pytest.approx(120, abs=1), "half of the panel's height"


def test_qualities_outside_of_0_to_1_lie_on_the_edge_of_the_panel():
    for outside, edge in ((1.4, 1.0), (-0.2, 0.0)):
        np.testing.assert_array_equal(draw_timeline(video(9, quality=outside)), draw_timeline(video(9, quality=edge)))


@pytest.mark.parametrize("colour", [(255, 255, 255), (224, 224, 192), (128, 128, 0), (0, 0, 0), (0, 0, 128)])
def test_light_colours_are_darkened_and_dark_ones_kept(colour):
    linear = (np.array(readable(colour)) / 255) ** 2.2
    assert linear @ (0.2126, 0.7152, 0.0722) <= 0.26
    if max(colour) <= 128:
        assert readable(colour) == colour


def test_scores_are_dashed_lines_that_begin_at_their_first_frame():
    rows = video(101, quality=None)
    colour = readable(voc_palette()[1])
    early, late = (places(draw_timeline(rows, [score(1, [0.5] * 50, first)])[50:], colour) for first in (1, 50))
    assert len(early) > 20, "there are gaps"
    assert late[0][1] - early[0][1] == pytest.approx(49 / 100 * 874, abs=3)


def test_a_score_may_have_nan_and_an_object_without_rows():
    rows = video(30, quality=None)
    broken = draw_timeline(rows, [score(7, [0.5] * 10 + [math.nan] * 10 + [0.5] * 8)])
    whole = draw_timeline(rows, [score(7, [0.5] * 28)])
    colour = readable(voc_palette()[7])
    assert 0 < len(pixels(broken[50:], colour)) < len(pixels(whole[50:], colour))
    nothing = draw_timeline(rows, [score(7, [math.nan] * 28)])
    np.testing.assert_array_equal(nothing, draw_timeline(rows))


def test_the_panel_is_left_out_without_curves():
    assert len(draw_timeline(video(10))) - len(draw_timeline(video(10, quality=None))) > 200


def test_events_are_marked_at_their_frames():
    rows = video(101)
    rows[0] = row(0, stored="permanent")
    rows[25] = row(25, stored="dynamic")
    rows[50] = row(50, rejected=True)
    rows[75] = row(75, stored="dynamic", evicted=25)
    picture = draw_timeline(rows)
    (annotated,), first, (rejected,), (evicted,) = (
        [x for _, x in marks(picture, mark)] for mark in (ANNOTATED, ADMITTED, REJECTED, EVICTED)
    )
    steps = np.diff([annotated, first[0], rejected, evicted])
    assert steps == pytest.approx([steps.mean()] * 3, abs=1.5)
    assert first[1] == pytest.approx(evicted, abs=1)


def test_temporary_frames_have_no_mark():
    picture = draw_timeline(video(20))
    assert not any(marks(picture, mark) for mark in (ANNOTATED, ADMITTED, REJECTED, EVICTED))


def test_objects_share_a_lane_until_their_memories_differ():
    shared = video(20, (1, 2, 3), quality=None)
    own = [replace(shared[0], rejected=True), *shared[1:]]
    assert len(draw_timeline(own)) - len(draw_timeline(shared)) == 2 * LANE_STEP


def test_the_order_of_the_rows_does_not_matter():
    rows = [row(frame, object_id, 0.5 + frame / 50) for frame in range(20) for object_id in (1, 2)]
    np.testing.assert_array_equal(draw_timeline(rows[::-1]), draw_timeline(rows))


@pytest.mark.parametrize("frames", [1, 2, 3000])
@pytest.mark.parametrize("objects", [1, 20])
def test_timelines_of_any_length_show_each_object(frames, objects):
    ids = range(1, objects + 1)
    rows = [row(f, i, 0.04 * i, "dynamic" if f % 5 == i % 5 else "temporary") for f in range(frames) for i in ids]
    picture = draw_timeline(rows, [score(i, [0.5] * (frames - 2)) for i in ids if frames > 2])
    centre = picture[90:, 480:600]
    for object_id in ids:
        colour = np.array(readable(voc_palette()[object_id]))
        thin = (colour + 255) // 2
        assert len(pixels(centre, colour)) + len(pixels(centre, thin))


def test_many_marks_shrink_but_the_annotated_frame_stays_large():
    few, many = (
        draw_timeline([row(0, stored="permanent"), *(row(f, stored="dynamic") for f in range(1, n))])
        for n in (20, 2000)
    )
    heights = [np.ptp(pixels(picture[ONLY_LANE, GUTTER:], ADMITTED.colour)[:, 0]) for picture in (few, many)]
    assert heights[1] < heights[0] / 2
    sizes = [len(pixels(picture[ONLY_LANE, GUTTER:], ANNOTATED.colour)) for picture in (few, many)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.2)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        draw_timeline([])


def test_a_narrow_timeline_wraps_its_legend():
    rows = video(10, range(1, 9))
    assert len(draw_timeline(rows, width=500)) > len(draw_timeline(rows, width=1000))
    assert (draw_timeline(rows, width=500)[:, -6:] == 255).all(), "nothing runs over the edge"


def test_a_dashed_line_covers_its_share_of_a_bent_path():
    pen = Pen(220, 120)
    pen.line([(10, 10), (110, 10), (210, 10)], (0, 0, 0), 2, (6, 4))
    assert (pen.picture()[10, :, 0] < 128).mean() == pytest.approx(0.6 * 200 / 220, abs=0.06)


def test_longer_texts_are_wider():
    assert text_width("object 10") > text_width("object 1") > 0


def test_a_written_timeline_reads_back(tmp_path):
    rows = video(10)
    write_timeline(tmp_path / "t.png", rows, width=700)
    with Image.open(tmp_path / "t.png") as picture:
        np.testing.assert_array_equal(np.array(picture), draw_timeline(rows, width=700))
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["t.png"]
