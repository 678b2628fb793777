"""Timelines of quality and memory."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import voc_palette
from evaluation.quality_table import QualityRow
from evaluation.report.plots import (
    ADMITTED,
    ANNOTATED,
    EVICTED,
    REJECTED,
    figure,
    object_colour,
    readable,
    write_timeline,
)
from evaluation.scoring import ObjectScore
from tests.helpers.result_files import shown

pytestmark = pytest.mark.slow

LEGEND = 25  # pixels above the curves and above the lanes
LANES = slice(-90, -40)


@pytest.fixture
def draw(tmp_path):
    """Returns a function that draws a timeline and reads it as RGB (H, W, 3)."""

    def draw(rows, scores=(), **options):
        write_timeline(tmp_path / "t.png", rows, scores, **options)
        assert [path.name for path in shown(tmp_path)] == ["t.png"]
        with Image.open(tmp_path / "t.png") as picture:
            return np.array(picture.convert("RGB"))

    return draw


def row(frame, object_id=1, quality=0.9, stored="temporary", rejected=False, evicted=None):
    return QualityRow(frame, f"{frame:05d}", object_id, quality, quality, stored, rejected, evicted, (0,))


def video(frames, objects=(1,), **changes):
    return [row(frame, object_id, **changes) for frame in range(frames) for object_id in objects]


def score(object_id, values, first_frame=1):
    names = tuple(f"{frame:05d}" for frame in range(first_frame, first_frame + len(values)))
    return ObjectScore("cat", object_id, np.array(values, float), np.array(values, float), names)


def pixels(picture, colour):
    """Positions (y, x) of the pixels of a colour (0..1)."""
    return np.argwhere(np.abs(picture.astype(int) - 255 * np.array(colour)).max(axis=2) <= 12)


def places(picture, colour):
    """Means x of the columns of pixels of a colour that hang together, from left to right."""
    columns = np.unique(pixels(picture, colour)[:, 1])
    return [group.mean() for group in np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1) if len(group)]


def marks(picture, mark):
    """Where a mark lies in the only lane."""
    colour = [int(mark.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return places(picture[LANES, 85:], colour)


def test_a_timeline_has_the_asked_width(draw):
    assert draw(video(10), width=800).shape[1:] == (800, 3)


@pytest.mark.parametrize("object_id", [1, 4, 9, 255, 300])
def test_a_quality_is_a_line_in_the_colour_of_its_object(draw, object_id):
    high, low = (
        pixels(draw(video(50, (object_id,), quality=q))[LEGEND:], object_colour(object_id)) for q in (0.75, 0.25)
    )
    assert np.ptp(high[:, 1]) > 800
    assert low[:, 0].mean() - high[:, 0].mean() > 80, "a better mask lies higher"


def test_qualities_outside_of_0_to_1_lie_on_the_edge_of_the_panel(draw):
    for outside, edge in ((1.4, 1.0), (-0.2, 0.0)):
        np.testing.assert_array_equal(draw(video(9, quality=outside)), draw(video(9, quality=edge)))


@pytest.mark.parametrize("colour", [(255, 255, 255), (224, 224, 192), (128, 128, 0), (0, 0, 0), (0, 0, 128)])
def test_light_colours_are_darkened_and_dark_ones_kept(colour):
    shown = np.array(readable(colour))
    assert shown**2.2 @ (0.2126, 0.7152, 0.0722) <= 0.26
    if max(colour) <= 128:
        np.testing.assert_allclose(shown * 255, colour, atol=0.5)


def test_scores_are_dashed_lines_that_begin_at_their_first_frame(draw):
    rows = video(101, quality=None)
    early, late = (places(draw(rows, [score(1, [0.5] * 50, first)])[LEGEND:], object_colour(1)) for first in (1, 50))
    assert len(early) > 20, "there are gaps"
    assert late[0] - early[0] > 300


def test_a_score_may_have_nan_and_an_object_without_rows(draw):
    rows = video(30, quality=None)
    broken = draw(rows, [score(7, [0.5] * 10 + [math.nan] * 10 + [0.5] * 8)])
    whole = draw(rows, [score(7, [0.5] * 28)])
    assert 0 < len(pixels(broken[LEGEND:], object_colour(7))) < len(pixels(whole[LEGEND:], object_colour(7)))
    np.testing.assert_array_equal(draw(rows, [score(7, [math.nan] * 28)]), draw(rows))


def test_a_lone_value_is_a_dot(draw):
    assert len(pixels(draw([row(0), *video(9, quality=None)[1:]])[LEGEND:], object_colour(1))) > 4


def test_the_panel_is_left_out_without_curves(draw):
    assert len(draw(video(10))) - len(draw(video(10, quality=None))) > 200


def test_events_are_marked_at_their_frames(draw):
    rows = video(101)
    rows[0] = row(0, stored="permanent")
    rows[25] = row(25, stored="dynamic")
    rows[50] = row(50, rejected=True)
    rows[75] = row(75, stored="dynamic", evicted=25)
    picture = draw(rows)
    (annotated,), first, rejected, evicted = (marks(picture, mark) for mark in (ANNOTATED, ADMITTED, REJECTED, EVICTED))
    found = [annotated, first[0], np.mean(rejected), first[1]]
    assert np.diff(found) == pytest.approx([np.diff(found).mean()] * 3, abs=2)
    assert np.mean(evicted) == pytest.approx(first[1], abs=2)


def test_temporary_frames_have_no_mark(draw):
    assert not any(marks(draw(video(20)), mark) for mark in (ANNOTATED, ADMITTED, REJECTED, EVICTED))


def test_objects_share_a_lane_until_their_memories_differ(draw):
    shared = video(20, (1, 2, 3), quality=None)
    own = [replace(shared[0], rejected=True), *shared[1:]]
    assert len(draw(own)) - len(draw(shared)) == 80, "two lanes more"


def test_the_order_of_the_rows_does_not_matter(draw):
    rows = [row(frame, object_id, 0.5 + frame / 50) for frame in range(20) for object_id in (1, 2)]
    np.testing.assert_array_equal(draw(rows[::-1]), draw(rows))


@pytest.mark.parametrize(("frames", "objects"), [(1, 1), (2, 20), (3000, 20)])
def test_timelines_of_any_length_show_each_object(draw, frames, objects):
    ids = range(1, objects + 1)
    rows = [row(f, i, 0.04 * i, "dynamic" if f % 5 == i % 5 else "temporary") for f in range(frames) for i in ids]
    picture = draw(rows, [score(i, [0.5] * (frames - 2)) for i in ids if frames > 2])
    assert all(len(pixels(picture[90:], object_colour(object_id))) for object_id in ids)


def test_many_marks_shrink_but_the_annotated_frame_stays_large(draw):
    few, many = (
        draw([row(0, stored="permanent"), *(row(f, stored="dynamic") for f in range(1, n))])[LANES] for n in (20, 2000)
    )
    heights = [np.ptp(pixels(picture, (0, 114 / 255, 178 / 255))[:, 0]) for picture in (few, many)]
    assert heights[1] < heights[0]
    sizes = [len(pixels(picture, (30 / 255,) * 3)) for picture in (few, many)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.2)


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        write_timeline(tmp_path / "t.png", [])
    assert not shown(tmp_path)


def test_many_objects_get_legend_rows_of_their_own(draw):
    assert len(draw(video(10, range(1, 21)))) > len(draw(video(10, (1,))))


def test_dollar_signs_in_names_are_no_formulas(tmp_path):
    with figure(tmp_path / "p.png", 200, 100) as drawn:
        drawn.subplots().set_title("a$b_{$")
    assert (tmp_path / "p.png").is_file()


def test_a_figure_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), figure(tmp_path / "p.png", 200, 100):
        raise KeyError
    assert not shown(tmp_path)


def test_objects_beyond_the_palette_begin_anew():
    assert object_colour(257) == readable(voc_palette()[1])
