"""Results and annotations that cannot be scored are refused, and the file is named."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import write_ids
from evaluation.scoring import annotated_sequences, pair_frames, score_results
from tests.helpers.result_files import shown
from tests.helpers.scored_trees import FRAMES, SHAPE, build_trees, clip, save, score
from util.errors import InputError


@pytest.fixture
def trees(tmp_path):
    return partial(build_trees, tmp_path)


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
