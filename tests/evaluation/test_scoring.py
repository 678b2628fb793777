"""Scoring a result tree: the semi-supervised protocol and its extensions."""

from functools import partial

import numpy as np
import pytest

from datasets.mask_files import write_binary
from evaluation.metrics import boundary_f, jaccard
from evaluation.scoring import pair_frames, score_results, score_sequence
from tests.helpers.scored_trees import FRAMES, build_trees, clip, save, score


@pytest.fixture
def trees(tmp_path):
    return partial(build_trees, tmp_path)


def expected(gt, seg, frames, label):
    return [[measure(gt[frame] == label, seg[frame] == label) for frame in frames] for measure in (jaccard, boundary_f)]


def assert_values(object_score, gt, seg, frames, label):
    j, f = expected(gt, seg, frames, label)
    np.testing.assert_array_equal(object_score.j_values, j)
    np.testing.assert_array_equal(object_score.f_values, f)


def test_each_object_is_scored_on_all_frames_but_the_first_and_the_last(trees):
    gt, seg = clip([1, 2]), clip([1, 2], shift=3)
    scores = score(trees(gt, seg))
    assert [item.name for item in scores.objects] == ["cat_1", "cat_2"]
    for item in scores.objects:
        assert_values(item, gt, seg, range(1, FRAMES - 1), item.object_id)


def test_first_and_last_frame_are_scored_on_request(trees):
    gt, seg = clip([1]), clip([1], shift=3)
    (item,) = score(trees(gt, seg), skip_ends=False).objects
    assert_values(item, gt, seg, range(FRAMES), 1)


def test_perfect_results_score_one(trees):
    scores = score(trees(clip([1, 2]), clip([1, 2])))
    assert scores.jf_mean == 1.0
    assert scores.j == scores.f == (1.0, 1.0, 0.0)


def test_gaps_in_the_ids_are_no_objects(trees):
    gt, seg = clip([1, 3, 7]), clip([1, 3, 7], shift=2)
    scores = score(trees(gt, seg))
    assert [item.object_id for item in scores.objects] == [1, 3, 7]
    for item in scores.objects:
        assert_values(item, gt, seg, range(1, FRAMES - 1), item.object_id)


def test_an_object_that_appears_late_is_scored_after_its_first_annotation(trees):
    gt, seg = clip([1, 2]), clip([1, 2], shift=2)
    gt[:2][gt[:2] == 2] = 0
    first, late = score(trees(gt, seg)).objects
    assert_values(first, gt, seg, range(1, FRAMES - 1), 1)
    assert_values(late, gt, seg, range(3, FRAMES - 1), 2)


def test_an_object_that_appears_too_late_to_be_scored_is_left_out(trees):
    gt = clip([1, 2])
    gt[:-2][gt[:-2] == 2] = 0
    assert [item.object_id for item in score(trees(gt, clip([1, 2]))).objects] == [1]


def test_an_object_that_vanishes_is_scored_to_the_end(trees):
    gt, seg = clip([1]), clip([1])
    gt[3:] = 0
    (item,) = score(trees(gt, seg)).objects
    np.testing.assert_array_equal(item.j_values, [1, 1, 0, 0])


def test_an_object_that_the_results_lack_counts_as_empty(trees):
    scores = score(trees(clip([1, 2]), clip([1])))
    assert [(item.j.mean, item.f.mean) for item in scores.objects] == [(1.0, 1.0), (0.0, 0.0)]


def test_void_pixels_do_not_count(trees):
    gt, seg = clip([1]), clip([1])
    gt[2, :, 40:] = 255
    seg[2, :, 40:] = 1
    (item,) = score(trees(gt, seg)).objects
    assert (item.object_id, item.j.mean, item.f.mean) == (1, 1.0, 1.0)


def test_grey_masks_of_0_and_255_hold_one_object(trees):
    gt, seg = clip([1]), clip([1], shift=3)
    (item,) = score(trees(gt, seg, write=lambda path, mask: write_binary(path, mask > 0))).objects
    assert item.object_id == 1
    assert_values(item, gt, seg, range(1, FRAMES - 1), 1)


def test_grey_annotations_may_begin_with_an_empty_mask(trees):
    gt, seg = clip([1]), clip([1], shift=3)
    gt[0] = 0
    (item,) = score(trees(gt, seg, write=lambda path, mask: write_binary(path, mask > 0))).objects
    assert_values(item, gt, seg, range(2, FRAMES - 1), 1)


def test_binary_scoring_merges_all_objects_of_both_trees(trees):
    gt, seg = clip([1, 2, 255]), clip([5, 3, 9], shift=3)
    (item,) = score(trees(gt, seg), binary=True).objects
    assert_values(item, gt > 0, seg > 0, range(1, FRAMES - 1), True)


def test_objects_not_sequences_are_the_unit_of_the_means(tmp_path):
    for name, objects, found in (("ant", [1, 2, 3], [1, 2, 3]), ("bee", [1], [])):
        save(tmp_path / "annotations" / name, clip(objects))
        save(tmp_path / "results" / name, clip(found))
    scores = score((tmp_path / "results", tmp_path / "annotations"))
    assert (scores.j.mean, scores.f.mean, scores.jf_mean) == (0.75, 0.75, 0.75)
    assert (scores.j.recall, scores.j.decay) == (0.75, 0.0)


def test_workers_change_nothing_and_keep_the_order(tmp_path):
    names = ["dog", "ant", "cat", "bee"]
    for shift, name in enumerate(names):
        save(tmp_path / "annotations" / name, clip([1, 2]))
        save(tmp_path / "results" / name, clip([1, 2], shift=shift))
    finished = []
    serial, parallel = (
        score_results(tmp_path / "results", tmp_path / "annotations", names, workers=workers, progress=finished.append)
        for workers in (1, 3)
    )
    assert [item.sequence for item in parallel.objects] == [name for name in names for _ in range(2)]
    assert [item.measures for item in parallel.objects] == [item.measures for item in serial.objects]
    assert sorted(finished) == sorted(2 * names)


def test_sparse_annotations_are_found_among_dense_results(tmp_path):
    gt, seg = clip([1], frames=9), clip([1], frames=9, shift=2)
    save(tmp_path / "annotations", gt[::2], names=["00000", "00002", "00004", "00006", "00008"])
    save(tmp_path / "results", seg)
    (item,) = score_sequence("cat", *pair_frames(tmp_path / "annotations", tmp_path / "results"))
    assert_values(item, gt, seg, [2, 4, 6], 1)


def test_results_that_are_numbered_by_position_fit_annotations_with_other_names(tmp_path):
    gt, seg = clip([1]), clip([1], shift=2)
    save(tmp_path / "annotations", gt, names=[f"frame{3 * index}" for index in range(FRAMES)])
    save(tmp_path / "results", seg)
    (item,) = score_sequence("cat", *pair_frames(tmp_path / "annotations", tmp_path / "results"))
    assert_values(item, gt, seg, range(1, FRAMES - 1), 1)
