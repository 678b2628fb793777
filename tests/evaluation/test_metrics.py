"""The DAVIS measures against numbers of the DAVIS toolkit, against brute force and against identities."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics import boundary_f, boundary_map, jaccard, statistics

EXACT = {"rtol": 0, "atol": 1e-12}
LONG = (256, 300)
SHORT = (1, 3, 5, 10, 20, 69, 100)


@pytest.fixture(scope="module")
def toolkit():
    with np.load(Path(__file__).parents[1] / "fixtures" / "jf_metrics.npz") as arrays:
        return dict(arrays)


def pairs(toolkit, *names):
    return zip(*(toolkit[name] for name in names), strict=True)


def moving_rectangle(frames, height, width):
    """Object 1 of the clip that the toolkit's numbers for large masks were made from, shape (frames, H, W)."""
    t = np.arange(frames).reshape(-1, 1, 1) - 0.75
    v = ((np.arange(height) + 0.5) / height).reshape(1, -1, 1)
    u = ((np.arange(width) + 0.5) / width).reshape(1, 1, -1)
    return (np.abs(v - (0.35 + 0.015 * t)) < 0.22) & (np.abs(u - (0.28 + 0.012 * t)) < 0.17)


def brute_force_boundary(mask):
    height, width = mask.shape
    return np.array(
        [
            [
                any(
                    mask[y, x] != mask[y + dy, x + dx]
                    for dy, dx in ((0, 1), (1, 0), (1, 1))
                    if y + dy < height and x + dx < width
                )
                for x in range(width)
            ]
            for y in range(height)
        ]
    )


def brute_force_f(gt, seg, radius):
    """F from the distances between all boundary pixels of the whole image."""
    gt, seg = (np.argwhere(brute_force_boundary(mask)).astype(float) for mask in (gt, seg))
    if not len(gt) or not len(seg):
        return float(len(gt) == len(seg))
    near = np.sqrt(((gt[:, None] - seg[None]) ** 2).sum(-1)) <= radius
    recall, precision = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_blob(rng, shape):
    """A rectangle with noise, often touching the image's borders, sometimes empty or full."""
    y, x = (np.sort(rng.integers(-4, side + 5, 2)).clip(0, side) for side in shape)
    mask = np.zeros(shape, bool)
    mask[y[0] : y[1], x[0] : x[1]] = rng.random((y[1] - y[0], x[1] - x[0])) < rng.choice([0.5, 0.95, 1.0])
    return mask


def test_region_similarity_equals_the_toolkit(toolkit):
    ours = [jaccard(gt, seg) for gt, seg in pairs(toolkit, "gt", "seg")]
    np.testing.assert_allclose(ours, toolkit["J"], **EXACT)


def test_contour_accuracy_equals_the_toolkit(toolkit):
    ours = [boundary_f(gt, seg) for gt, seg in pairs(toolkit, "gt", "seg")]
    np.testing.assert_allclose(ours, toolkit["F"], **EXACT)


def test_void_pixels_are_ignored_as_in_the_toolkit(toolkit):
    cases = list(pairs(toolkit, "gt", "seg", "void"))
    np.testing.assert_allclose([jaccard(*case) for case in cases], toolkit["J_void"], **EXACT)
    np.testing.assert_allclose([boundary_f(*case) for case in cases], toolkit["F_void"], **EXACT)


def test_a_bound_of_three_is_three_pixels(toolkit):
    ours = [boundary_f(gt, seg, bound=3) for gt, seg in pairs(toolkit, "gt", "seg")]
    np.testing.assert_allclose(ours, toolkit["F_bound3"], **EXACT)


def test_boundary_maps_equal_the_toolkit(toolkit):
    for gt, expected in pairs(toolkit, "gt", "boundary_gt"):
        np.testing.assert_array_equal(boundary_map(gt), expected)


def test_masks_of_davis_size_equal_the_toolkit(toolkit):
    masks = moving_rectangle(4, 480, 854)
    np.testing.assert_allclose([jaccard(masks[i], masks[i + 1]) for i in range(3)], toolkit["large_J"], **EXACT)
    np.testing.assert_allclose([boundary_f(masks[i], masks[i + 1]) for i in range(3)], toolkit["large_F"], **EXACT)


@pytest.mark.parametrize("length", SHORT)
def test_statistics_of_short_series_equal_the_toolkit(toolkit, length):
    np.testing.assert_allclose(statistics(toolkit[f"series{length}"]), toolkit[f"series{length}_MRD"], **EXACT)


@pytest.mark.parametrize("measure", ["J", "F"])
def test_statistics_of_measured_pairs_equal_the_toolkit(toolkit, measure):
    np.testing.assert_allclose(statistics(toolkit[measure]), toolkit[f"pairs_MRD_{measure}"], **EXACT)


@pytest.mark.parametrize("length", LONG)
def test_mean_and_recall_of_long_series_equal_the_toolkit(toolkit, length):
    np.testing.assert_allclose(statistics(toolkit[f"series{length}"])[:2], toolkit[f"series{length}_MRD"][:2], **EXACT)


@pytest.mark.parametrize(("length", "first_end", "last_start"), [(256, 65, 191), (300, 76, 224), (1001, 251, 750)])
def test_decay_of_long_series_compares_the_first_and_the_last_quarter(length, first_end, last_start):
    values = np.random.default_rng(length).random(length)
    expected = values[:first_end].mean() - values[last_start:].mean()
    assert statistics(values).decay == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("length", LONG)
def test_decay_of_the_long_series_is_finite_where_the_toolkit_overflows(toolkit, length):
    values = toolkit[f"series{length}"]
    edges = np.round(np.linspace(1, length, 5) + 1e-10).astype(np.int64) - 1
    expected = np.nanmean(values[edges[0] : edges[1] + 1]) - np.nanmean(values[edges[3] : edges[4] + 1])
    assert not np.isfinite(toolkit[f"series{length}_MRD"][2])
    assert statistics(values).decay == pytest.approx(expected, abs=1e-12)


def test_frames_without_a_value_are_misses_but_do_not_count_in_the_mean():
    assert statistics(np.array([np.nan, 0.8, 0.6, 0.2])).mean == pytest.approx(1.6 / 3)
    assert statistics(np.array([np.nan, 0.8, 0.6, 0.2])).recall == 0.5


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        statistics(np.array([]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 23), (40, 31)])
def test_cropping_changes_no_contour_accuracy(shape):
    rng = np.random.default_rng(sum(shape))
    for _ in range(25):
        gt, seg = random_blob(rng, shape), random_blob(rng, shape)
        radius = int(rng.integers(1, 6))
        assert boundary_f(gt, seg, bound=radius) == pytest.approx(brute_force_f(gt, seg, radius), abs=1e-12)


@pytest.mark.parametrize("corner", [(0, 0), (0, 19), (14, 0), (14, 19)])
def test_objects_in_a_corner_are_measured_like_brute_force(corner):
    gt, seg = np.zeros((2, 15, 20), bool)
    gt[corner] = True
    seg[np.clip(corner[0] - 2, 0, 12) :][:3, np.clip(corner[1] - 2, 0, 17) :][:, :3] = True
    np.testing.assert_array_equal(boundary_map(gt), brute_force_boundary(gt))
    assert boundary_f(gt, seg, bound=1) == pytest.approx(brute_force_f(gt, seg, 1), abs=1e-12)


def test_the_bound_is_a_share_of_the_whole_image_not_of_the_object():
    gt, seg = np.zeros((2, 300, 400), bool)
    gt[100:120, 100:120] = True
    seg[104:124, 100:120] = True
    assert boundary_f(gt, seg) == boundary_f(gt, seg, bound=4) > boundary_f(gt, seg, bound=3)


def test_void_is_taken_out_of_both_masks_before_their_boundaries_are_drawn():
    rng = np.random.default_rng(5)
    for _ in range(20):
        gt, seg, void = (random_blob(rng, (21, 33)) for _ in range(3))
        assert boundary_f(gt, seg, void, bound=2) == pytest.approx(brute_force_f(gt & ~void, seg & ~void, 2), abs=1e-12)


def test_identical_masks_score_one():
    rng = np.random.default_rng(6)
    for _ in range(10):
        mask = random_blob(rng, (30, 40))
        assert (jaccard(mask, mask), boundary_f(mask, mask)) == (1.0, 1.0)


def test_a_full_mask_has_no_boundary_and_so_matches_an_empty_one():
    empty, full = np.zeros((20, 30), bool), np.ones((20, 30), bool)
    assert boundary_f(full, empty) == boundary_f(empty, full) == 1.0
    assert jaccard(full, empty) == 0.0


def test_two_empty_masks_agree():
    empty = np.zeros((20, 30), bool)
    assert (jaccard(empty, empty), boundary_f(empty, empty)) == (1.0, 1.0)


def test_an_object_that_only_one_mask_has_scores_zero():
    empty, mask = np.zeros((2, 20, 30), bool)
    mask[5:9, 5:9] = True
    for pair in ((empty, mask), (mask, empty)):
        assert (jaccard(*pair), boundary_f(*pair)) == (0.0, 0.0)


def test_a_mask_of_0_and_255_scores_like_a_boolean_one():
    rng = np.random.default_rng(7)
    gt, seg = random_blob(rng, (30, 40)), random_blob(rng, (30, 40))
    grey = (np.uint8(255) * gt, np.uint8(255) * seg)
    assert (jaccard(*grey), boundary_f(*grey)) == (jaccard(gt, seg), boundary_f(gt, seg))


def test_the_masks_are_left_as_they_are():
    rng = np.random.default_rng(8)
    masks = [random_blob(rng, (30, 40)) for _ in range(3)]
    copies = [mask.copy() for mask in masks]
    jaccard(*masks)
    boundary_f(*masks)
    for mask, copy in zip(masks, copies, strict=True):
        np.testing.assert_array_equal(mask, copy)


@pytest.mark.parametrize("measure", [jaccard, boundary_f])
def test_masks_of_different_shapes_are_refused(measure):
    with pytest.raises(ValueError, match="common shape"):
        measure(np.zeros((4, 5), bool), np.zeros((5, 4), bool))
    with pytest.raises(ValueError, match="common shape"):
        measure(np.zeros((4, 5), bool), np.zeros((4, 5), bool), np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="common shape"):
        measure(np.zeros((1, 4, 5), bool), np.zeros((1, 4, 5), bool))
