"""The DAVIS evaluation scripts from the command line to the results, with a core that needs no network."""

import numpy as np
import pytest
from PIL import Image

import eval_davis
import eval_davis_2016
from datasets.mask_files import read_ids, voc_palette, write_ids
from model.memory.options import MemoryOptions
from tests.helpers.davis_runs import evaluate, masks_of
from tests.helpers.davis_trees import (
    FakeCore,
    make_davis_2016,
    make_davis_2017,
    make_mask,
    write_list,
    write_video_2017,
)
from tests.helpers.result_files import files_below, shown

# Results


def test_results_keep_the_object_ids_of_the_first_mask(davis, output):
    evaluate(eval_davis, davis, output)
    assert files_below(output) == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]
    for path in output.rglob("*.png"):
        np.testing.assert_array_equal(read_ids(path), make_mask(objects=(2, 5, 9)))


def test_results_of_2017_are_palette_files_with_the_davis_palette(davis, output):
    evaluate(eval_davis, davis, output)
    picture = Image.open(output / "bike/00003.png")
    assert picture.mode == "P"
    assert picture.getpalette() == voc_palette().ravel().tolist()


def test_void_is_not_an_object(davis, output):
    ids = make_mask(objects=(1, 255, 3))
    write_ids(masks_of(davis) / "00000.png", ids)
    evaluate(eval_davis, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00002.png"), np.where(ids == 255, 0, ids))


def test_results_of_2016_are_grey_files_with_0_and_255(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    evaluate(eval_davis_2016, davis, output)
    picture = Image.open(output / "cat/00003.png")
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.array(picture), np.where(make_mask() > 0, 255, 0))


def test_2016_merges_all_labels(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    write_ids(davis / "Annotations/480p/bike/00000.png", make_mask(objects=(1, 2, 255)))
    evaluate(eval_davis_2016, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00001.png") > 0, make_mask() > 0)


def test_testdev_needs_only_the_first_masks(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", split="testdev")
    evaluate(eval_davis, davis, output, "--split", "testdev")
    assert len(files_below(output)) == 8


def test_frames_with_any_names_are_taken_in_natural_order(tmp_path, output):
    names = ("shot1", "shot2", "shot10", "shot11")
    davis = make_davis_2017(tmp_path / "2017", videos=("bike",), names=names)
    evaluate(eval_davis, davis, output)
    assert files_below(output) == sorted(f"bike/{name}.png" for name in names)
    assert FakeCore.seen == sorted(FakeCore.seen)


def test_results_have_the_size_of_the_first_mask_where_it_differs_from_the_frames(davis, output, caplog):
    write_ids(masks_of(davis) / "00000.png", make_mask(size=(37, 52)))
    evaluate(eval_davis, davis, output)
    assert read_ids(output / "bike/00002.png").shape == (37, 52)
    assert "mask is resized" in caplog.text


def test_a_run_tells_frames_speed_and_memory(davis, output, capsys):
    evaluate(eval_davis, davis, output)
    out = capsys.readouterr().out
    assert "bike: 4 frames" in out
    assert "8 frames in" in out
    assert "with reading and writing" in out
    assert "peak memory" in out


def test_half_precision_gives_results(davis, output):
    evaluate(eval_davis, davis, output, "--amp", "bf16")
    np.testing.assert_array_equal(read_ids(output / "bike/00002.png"), make_mask())


def test_memory_flags_reach_the_core(davis, output, monkeypatch):
    cores = []

    class NotedCore(FakeCore):
        def __init__(self, network, memory, **options):
            super().__init__(network, memory, **options)
            cores.append(self)

    monkeypatch.setattr(eval_davis, "InferenceCore", NotedCore)
    flags = ["--no_top", "--use_km", "--mem_every", 3, "--mem_capacity", 7, "--quality_threshold", 0.5]
    evaluate(eval_davis, davis, output, *flags, "--memory", "latest", "--mem_annotated", 4)
    assert len(cores) == 2, "each video has its own core"
    assert cores[0].memory == MemoryOptions("latest", capacity=7, annotations=4, mem_every=3, quality_threshold=0.5)
    assert cores[0].options == {
        "top_k": None,
        "km_sigma": 5.6,
        "fused_read": False,
        "decode_roi": False,
        "score_all": False,
        "correct_rate": None,
        "correct_steps": 10,
        "write_corrected": False,
    }


def test_a_video_of_one_frame_is_its_own_mask(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", videos=("still",), names=("only",))
    evaluate(eval_davis, davis, output, "--contact_sheet")
    np.testing.assert_array_equal(read_ids(output / "still/only.png"), make_mask())


def test_videos_may_differ_in_size_and_objects(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", videos=("bike",))
    large = make_mask(objects=(1, 200), size=(50, 81))
    write_video_2017(davis, "large", ids=large)
    write_list(davis / "trainval/ImageSets/2017/val.txt", ["bike", "large"])
    evaluate(eval_davis, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00003.png"), make_mask())
    np.testing.assert_array_equal(read_ids(output / "large/00003.png"), large)


# Choosing videos


def test_only_the_named_videos_are_segmented(davis, output):
    evaluate(eval_davis, davis, output, "--videos", "cat")
    assert [path.name for path in shown(output)] == ["cat"]


def test_a_list_file_takes_the_place_of_the_sets_own(davis, output, tmp_path):
    evaluate(eval_davis, davis, output, "--list", write_list(tmp_path / "mine.txt", ["cat"]))
    assert [path.name for path in shown(output)] == ["cat"]


@pytest.mark.parametrize("place", ["ImageSets/2016/val.txt", "ImageSets/480p/val.txt"])
def test_2016_finds_its_list_within_its_own_tree(tmp_path, output, place):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2016/val.txt").unlink()
    lines = [f"/JPEGImages/480p/cat/{i:05d}.jpg /Annotations/480p/cat/{i:05d}.png" for i in range(4)]
    write_list(davis / place, lines if "480p" in place else ["cat"])
    evaluate(eval_davis_2016, davis, output)
    assert [path.name for path in shown(output)] == ["cat"]
