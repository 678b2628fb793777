"""Scoring a result tree: the semi-supervised protocol and its extensions, what is refused, the tables, the baseline."""

import csv
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, write_binary, write_ids
from datasets.test.sets import Scoring
from evaluation.metrics import boundary_f, jaccard
from evaluation.scoring import (
    annotated_sequences,
    copy_first_masks,
    format_table,
    pair_frames,
    score_folder,
    score_results,
    score_sequence,
    write_csv,
)
from tests.helpers.result_files import shown
from tests.helpers.scored_trees import FRAMES, SHAPE, build_trees, clip, save, score
from util.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


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


def test_an_object_changes_hands_where_another_id_covers_most_of_it(trees):
    gt = np.zeros((7, 20, 20), np.uint8)
    gt[:, 2:8, 2:12], gt[:, 12:18, 2:12] = 1, 2
    seg = gt.copy()
    seg[2, 2:8, 2:8] = 2  # six tenths
    seg[3] = 0  # lost, in nobody's hands
    seg[4, 12:18, 2:6] = 1  # four tenths
    scores = score(trees(gt, seg))
    assert scores.switches == {"cat_1": 2}  # to 2, and back to 1
    assert score(trees(gt, gt, name="dog")).objects[-1].switches == 0


def test_first_and_last_frame_are_scored_on_request(trees):
    gt, seg = clip([1]), clip([1], shift=3)
    (item,) = score(trees(gt, seg), rule=Scoring(skip_first=False, skip_last=False)).objects
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


# Which frames the scores are of


@pytest.fixture
def late_masks(tmp_path):
    """Mask files of a sequence in which object 1 is there from the start and object 2 from frame 3 on."""
    paths = [tmp_path / f"{frame:05d}.png" for frame in range(FRAMES)]
    for frame, path in enumerate(paths):
        ids = np.zeros((16, 24), np.uint8)
        ids[2:8, 2:8] = 1
        ids[2:8, 12:18] = 2 if frame >= 3 else 0
        write_ids(path, ids)
    return paths


@pytest.mark.parametrize(("skip_ends", "first", "last"), [(True, (1, 4), 4), (False, (0, 4), 5)])
def test_scores_know_the_names_of_their_frames(late_masks, skip_ends, first, last):
    scores = score_sequence("cat", late_masks, late_masks, rule=Scoring(skip_first=skip_ends, skip_last=skip_ends))
    expected = [tuple(f"{frame:05d}" for frame in range(start, last + 1)) for start in first]
    assert [score.frames for score in scores] == expected
    assert [len(score.j_values) for score in scores] == [len(names) for names in expected]


def test_only_the_wanted_frames_are_paired(late_masks):
    truths, results = pair_frames(late_masks[0].parent, late_masks[0].parent, {late_masks[2].name, late_masks[4].name})
    assert truths == results == [late_masks[2], late_masks[4]]


# Bad input


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("frame", [0, 3, FRAMES - 1])
def test_a_missing_result_frame_is_named(trees, frame, workers):
    results, annotations = trees(clip([1]), clip([1]))
    (results / "cat" / f"{frame:05d}.png").unlink()
    with pytest.raises(InputError, match=rf"results/cat/{frame:05d}\.png is missing"):
        score_results(results, annotations, ["cat"], workers=workers)


def test_results_by_position_must_be_as_many_as_the_annotations(tmp_path):
    save(tmp_path / "annotations", clip([1]), names=[f"frame{index}" for index in range(FRAMES)])
    save(tmp_path / "results", clip([1])[:-1])
    with pytest.raises(InputError, match=r"frame0\.png is missing \(and 5 more\)"):
        pair_frames(tmp_path / "annotations", tmp_path / "results")


def test_results_with_foreign_names_are_refused(tmp_path):
    save(tmp_path / "annotations", clip([1]))
    save(tmp_path / "results", clip([1]), names=[f"overlay{index}" for index in range(FRAMES)])
    with pytest.raises(InputError, match=r"00000\.png is missing"):
        pair_frames(tmp_path / "annotations", tmp_path / "results")


@pytest.mark.parametrize("tree", ["results", "annotations"])
def test_a_missing_sequence_folder_is_named(trees, tree):
    results, annotations = trees(clip([1]), clip([1]))
    (results.parent / tree / "cat").rename(results.parent / "elsewhere")
    with pytest.raises(InputError, match=f"{tree}/cat does not exist"):
        score_results(results, annotations, ["cat"])


def test_a_folder_without_masks_is_named(tmp_path, trees):
    results, annotations = trees(clip([1]), clip([1]))
    for path in (results / "cat").iterdir():
        path.rename(path.with_suffix(".jpg"))
    with pytest.raises(InputError, match="results/cat holds no PNG masks"):
        score_results(results, annotations, ["cat"])


def test_an_id_that_no_annotation_has_is_refused(trees):
    seg = clip([1, 2])
    seg[3, -1, -1] = 4
    with pytest.raises(InputError, match=r"results/cat/00003\.png holds object 4, .* have only 1, 2"):
        score(trees(clip([1, 2]), seg))


def test_an_id_in_a_gap_is_refused(trees):
    with pytest.raises(InputError, match=r"holds object 2, .* have only 1, 3"):
        score(trees(clip([1, 3]), clip([1, 2])))


def test_a_result_of_another_size_is_refused(trees):
    results, annotations = trees(clip([1]), clip([1]))
    write_ids(results / "cat" / "00002.png", np.zeros((24, 32), np.uint8))
    with pytest.raises(InputError, match=r"results/cat/00002\.png has the size 32x24.*annotations/cat/00002.* 64x48"):
        score((results, annotations))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_result_is_named(trees, workers):
    results, annotations = trees(clip([1]), clip([1]))
    path = results / "cat" / "00002.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"results/cat/00002\.png cannot be read"):
        score_results(results, annotations, ["cat"], workers=workers)


def test_a_colour_picture_is_no_result(trees):
    results, annotations = trees(clip([1]), clip([1]))
    Image.new("RGB", SHAPE[::-1]).save(results / "cat" / "00002.png")
    with pytest.raises(InputError, match=r"00002\.png is a colour picture"):
        score((results, annotations))


def test_a_first_frame_alone_gives_nothing_to_score(trees):
    results, annotations = trees(clip([1]), clip([1]))
    for path in shown(annotations / "cat")[1:]:
        path.unlink()
    with pytest.raises(InputError, match="nothing to score against"):
        score((results, annotations))


def test_two_frames_leave_nothing_between_the_ends(trees):
    with pytest.raises(InputError, match="annotates no object before the frames to be scored"):
        score(trees(clip([1], frames=2), clip([1], frames=2)))


def test_a_sequence_that_leaves_nothing_is_left_out_beside_others_which_is_said(trees, caplog):
    both = trees(clip([1]), clip([1]))
    for root in both:
        save(root / "dog", clip([1], frames=2))
    assert [found.sequence for found in score(both).objects] == ["cat"]
    assert "dog annotates no object before the frames to be scored, and is left out" in caplog.text


@pytest.mark.parametrize("binary", [False, True])
def test_annotations_without_any_object_are_refused(trees, binary):
    with pytest.raises(InputError, match="annotations/cat hold no object"):
        score(trees(clip([]), clip([])), binary=binary)


def test_no_sequences_and_no_workers_are_refused(trees):
    results, annotations = trees(clip([1]), clip([1]))
    with pytest.raises(InputError, match="no sequences"):
        score_results(results, annotations, [])
    with pytest.raises(InputError, match="0 workers"):
        score_results(results, annotations, ["cat"], workers=0)


def test_an_annotation_tree_without_folders_is_refused(tmp_path):
    with pytest.raises(InputError, match="no sequence folders"):
        annotated_sequences(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        annotated_sequences(tmp_path / "nowhere")


# Tables


def test_the_tables_have_the_columns_of_the_davis_toolkit(trees, tmp_path):
    scores = score(trees(clip([1, 3]), clip([1, 3], shift=3)))
    paths = write_csv(scores, tmp_path / "tables", "val")
    assert [path.name for path in paths] == ["global_results-val.csv", "per-sequence_results-val.csv"]
    whole, single = (list(csv.reader(path.open())) for path in paths)
    assert whole[0] == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
    assert whole[1] == [f"{value:.3f}" for value in (scores.jf_mean, *scores.j, *scores.f)]
    assert single[0] == ["Sequence", "J-Mean", "F-Mean"]
    assert single[1:] == [[item.name, f"{item.j.mean:.3f}", f"{item.f.mean:.3f}"] for item in scores.objects]
    assert sorted(path.name for path in shown(tmp_path / "tables")) == sorted(path.name for path in paths)


def test_the_printed_table_ends_with_the_means(trees):
    scores = score(trees(clip([1, 3]), clip([1, 3], shift=3)))
    lines = format_table(scores).splitlines()
    assert lines[0].split()[:3] == ["Sequence", "J&F-Mean", "J-Mean"]
    assert [line.split()[0] for line in lines if not line.startswith("-")] == ["Sequence", "cat_1", "cat_3", "Global"]
    assert lines[-1].split()[1:] == [f"{value:.3f}" for value in scores.measures]


def test_tables_never_go_into_the_results(tmp_path):
    results = tmp_path / "out"
    assert score_folder(results) == tmp_path / "out-scores"
    assert score_folder(results, tmp_path / "tables") == tmp_path / "tables"
    for inside in (results, results / "tables", tmp_path / "x" / ".." / "out" / "cat"):
        with pytest.raises(InputError, match="lies inside the results"):
            score_folder(results, inside)


@pytest.mark.parametrize("name", ["", "a/b", "../val"])
def test_a_set_name_that_is_no_file_name_is_refused(trees, tmp_path, name):
    scores = score(trees(clip([1]), clip([1])))
    with pytest.raises(InputError, match="name of a set"):
        write_csv(scores, tmp_path / "tables", name)


def run_script(*arguments):
    command = [sys.executable, "scripts/score.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_script_prints_the_table_and_saves_it_beside_the_results(trees, tmp_path):
    results, annotations = trees(clip([1, 2]), clip([1, 2]))
    save(annotations / "dog", clip([1]))
    (tmp_path / "mini.txt").write_text("cat\n\ncat\n")
    done = run_script("--results", results, "--annotations", annotations, "--list", tmp_path / "mini.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:4]] == ["cat_1", "cat_2"]
    assert sorted(path.name for path in shown(tmp_path / "results-scores")) == [
        "global_results-mini.csv",
        "per-sequence_results-mini.csv",
    ]
    assert [path.name for path in results.iterdir()] == ["cat"]


def test_the_script_scores_every_annotated_sequence_and_fails_on_a_missing_one(trees, tmp_path):
    results, annotations = trees(clip([1]), clip([1]))
    save(annotations / "dog", clip([1]))
    done = run_script("--results", results, "--annotations", annotations)
    assert done.returncode == 2
    assert "results/dog does not exist" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results-scores").exists()


# The baseline


def test_every_frame_gets_the_first_mask(tmp_path):
    folder = tmp_path / "masks/cow"
    folder.mkdir(parents=True)
    for number in range(3):
        write_ids(folder / f"{number:05d}.png", np.full((4, 5), number + 1, np.uint8))
    copy_first_masks(tmp_path / "masks", tmp_path / "out", ["cow"])
    assert [read_ids(tmp_path / f"out/cow/{n:05d}.png").max() for n in range(3)] == [1, 1, 1]


def test_a_missing_sequence_is_named(tmp_path):
    with pytest.raises(InputError, match="cow"):
        copy_first_masks(tmp_path, tmp_path / "out", ["cow"])


def test_a_file_of_the_user_is_not_replaced(tmp_path):
    for folder in ("masks/cow", "out/cow"):
        (tmp_path / folder).mkdir(parents=True)
    write_ids(tmp_path / "masks/cow/00000.png", np.ones((4, 5), np.uint8))
    (tmp_path / "out/cow/00000.png").write_text("mine")
    with pytest.raises(InputError, match=r"00000\.png exists"):
        copy_first_masks(tmp_path / "masks", tmp_path / "out", ["cow"])
    assert (tmp_path / "out/cow/00000.png").read_text() == "mine"
