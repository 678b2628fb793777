"""A simulated user: where he clicks and draws."""

import numpy as np
import pytest
import torch

from model.interactive import Box, Click, Stroke, render_prompts
from model.simulated_user import (
    correct_by_click,
    correct_by_stroke,
    depth_within,
    draw_beginning,
    draw_correction,
    farthest_point,
    largest_error,
    loose_box,
    spoil,
    stroke_along,
    tight_box,
)

SIZE = (60, 90)


def rectangle(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def disk(row, column, radius):
    rows, columns = np.indices(SIZE)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def at(mask, x, y):
    return mask[int(y), int(x)]


def test_depth_is_the_distance_to_the_nearest_pixel_outside_by_brute_force():
    region = disk(20, 30, 12) | rectangle(0, 60, 20, 90)
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded) - 1
    depth = depth_within(region)
    for row, column in ((20, 30), (14, 25), (3, 62), (0, 75), (10, 75)):
        expected = np.sqrt(((outside - (row, column)) ** 2).sum(1).min())
        assert depth[row, column] == pytest.approx(expected, abs=1e-3)
    assert not depth[~region].any()


def test_the_farthest_point_of_a_disk_is_its_centre():
    assert farthest_point(disk(25, 40, 15)) == (40.5, 25.5)


def test_the_border_of_the_frame_is_an_edge():
    x, y = farthest_point(np.ones(SIZE, bool))
    assert y in (29.5, 30.5) and 29 < x < 61


@pytest.mark.parametrize("missing", [True, False])
def test_a_click_goes_into_the_largest_error_and_says_which_kind_it_is(missing):
    truth = disk(30, 30, 20)
    error = rectangle(26, 24, 36, 34) if missing else rectangle(20, 65, 40, 85)
    smaller = rectangle(2, 60, 6, 64) if missing else rectangle(20, 20, 26, 26)
    predicted = truth ^ error ^ smaller
    region, found = largest_error(truth, predicted)
    assert np.array_equal(region, error) and found is missing
    click = correct_by_click(truth, predicted)
    assert click.positive is missing and at(error, click.x, click.y)


def test_the_first_click_is_in_the_middle_of_the_largest_part():
    click = correct_by_click(disk(30, 60, 14) | disk(10, 10, 5), np.zeros(SIZE, bool))
    assert click == Click(60.5, 30.5, positive=True)


def test_where_nothing_is_wrong_nothing_is_said():
    truth = disk(30, 30, 20)
    assert correct_by_click(truth, truth) is correct_by_stroke(truth, truth) is draw_correction(truth, truth) is None


@pytest.mark.parametrize("region", [rectangle(20, 10, 32, 80), rectangle(5, 30, 55, 40), disk(30, 40, 18)])
def test_a_stroke_runs_through_a_region_along_its_longer_side(region):
    stroke = stroke_along(region, positive=True)
    assert all(at(region, x, y) for x, y in stroke.points)
    length = np.ptp(np.array(stroke.points), axis=0).max() + 1
    assert length == max(np.flatnonzero(region.any(axis)).size for axis in (0, 1))


def test_a_stroke_does_not_jump_over_what_does_not_belong_to_the_region():
    region = rectangle(10, 5, 20, 85)
    region[:, 40:45] = False
    region[40:50, 40:45] = True
    region[20:50, 39] = region[20:50, 45] = True
    stroke = stroke_along(region, positive=False)
    steps = np.abs(np.diff(np.array(stroke.points), axis=0)).max()
    assert steps <= 3 and not stroke.positive
    assert all(at(region, x, y) for x, y in stroke.points)


def test_a_tight_box_has_the_object_and_nothing_beside_it():
    mask = rectangle(7, 12, 33, 71)
    assert tight_box(mask) == Box(12, 7, 71, 33)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]) == (26, 59)


def test_loose_boxes_lie_around_the_object_and_differ():
    torch.manual_seed(0)
    mask = rectangle(20, 30, 40, 60)
    boxes = [loose_box(mask) for _ in range(20)]
    assert len(set(boxes)) == 20
    assert all(b.x0 < 31 and b.y0 < 21 and b.x1 > 59 and b.y1 > 39 for b in boxes)


def test_draws_follow_from_the_seed():
    truth = disk(30, 40, 18)
    torch.manual_seed(3)
    first = [draw_beginning(truth) for _ in range(5)]
    torch.manual_seed(3)
    for (prompts, before), (again, mask) in zip(first, [draw_beginning(truth) for _ in range(5)], strict=True):
        assert prompts == again and np.array_equal(before, mask)


def test_what_a_training_user_says_is_true():
    torch.manual_seed(1)
    truth = disk(30, 40, 18) | disk(10, 80, 6)
    kinds = set()
    for _ in range(150):
        prompts, before = draw_beginning(truth)
        correction = draw_correction(truth, before > 0.5)
        said = [*prompts, correction]
        for prompt in said:
            kinds.add(type(prompt))
            if isinstance(prompt, Click):
                assert at(truth, prompt.x, prompt.y) == prompt.positive
            elif isinstance(prompt, Stroke):
                assert all(at(truth, *point) == prompt.positive for point in prompt.points)
        assert render_prompts(prompts, SIZE).isfinite().all()
    assert kinds == {Click, Stroke, Box}


@pytest.mark.parametrize("truth", [np.ones(SIZE, bool), rectangle(0, 0, 1, 1), rectangle(0, 0, 60, 1)])
def test_extreme_masks_are_no_trouble(truth):
    torch.manual_seed(2)
    for _ in range(40):
        prompts, before = draw_beginning(truth)
        assert before.shape == SIZE and (prompts or (before > 0).any() == truth.any())
        draw_correction(truth, before > 0.5)


def test_a_spoilt_mask_is_another_one_that_still_resembles_the_object():
    torch.manual_seed(4)
    truth = disk(30, 40, 18)
    overlaps = [(spoil(truth) & truth).sum() / (spoil(truth) | truth).sum() for _ in range(20)]
    assert max(overlaps) < 1 and np.mean(overlaps) > 0.4
