"""eval_boxes.py and scripts/analyse_boxes.py from the command line to the files."""

import csv
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import eval_boxes
from datasets.boxes.boxes import format_rows, read_boxes
from datasets.mask_files import read_ids, write_binary
from model import build_network
from model.weights.checkpoint import Checkpoint, save_checkpoint
from scripts import analyse_boxes, make_box_trees
from tests.helpers.box_runs import (
    GONE,
    LASOT_NAMES,
    SIZE,
    BrightCore,
    boxes_of,
    evaluate,
    make_trees,
)
from tests.helpers.result_files import files_below, shown
from tests.helpers.warm_processes import complete, start_all
from util.files import write_text
from util.text_files import read_numbers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Trees that no test changes."""
    return make_trees(tmp_path_factory.mktemp("made"))


@pytest.fixture
def analyse(monkeypatch):
    """Runs the script that scores."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["analyse_boxes.py", *map(str, words)])
        analyse_boxes.main()

    return run


def truth_of(made, name):
    return read_boxes(made / f"lasot/made/{name}/groundtruth.txt")


def table(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


# Boxes and times


def test_the_boxes_are_those_of_the_objects(made, output):
    evaluate(made, output)
    for name in LASOT_NAMES[::2]:
        assert np.array_equal(boxes_of(output, name), truth_of(made, name))
    assert files_below(output) == [f"{name}/{name}_{end}.txt" for name in LASOT_NAMES for end in ("001", "time")]


def test_where_the_object_is_gone_the_previous_box_is_repeated(made, output):
    evaluate(made, output)
    truth, found = truth_of(made, "made-2"), boxes_of(output, "made-2")
    assert (truth[list(GONE), 2:] == 0).all()
    for t in range(len(truth)):
        assert found[t].tolist() == truth[GONE[0] - 1 if t in GONE else t].tolist()


def test_each_frame_has_its_seconds(made, output):
    evaluate(made, output)
    for name in LASOT_NAMES:
        seconds = read_numbers(output / name / f"{name}_time.txt")
        assert seconds.shape == (len(boxes_of(output, name)), 1)
        assert (seconds > 0).all()


def test_the_first_row_is_the_given_box_to_the_last_digit(trees, output):
    path = trees / "lasot/made/made-3/groundtruth.txt"
    rows = read_boxes(path)
    rows[0] = (-3.125, 15.5, 27.375, 16.0)
    write_text(path, format_rows(rows, "%.3f"))
    evaluate(trees, output, "--videos", "made-3")
    assert boxes_of(output, "made-3")[0].tolist() == rows[0].tolist()
    assert (boxes_of(output, "made-3")[1:] == truth_of(trees, "made-3")[1:]).all()


def test_boxes_are_in_pixels_of_the_frames_whatever_the_network_sees(made, output):
    evaluate(made, output, "--size", 24)
    assert np.abs(boxes_of(output, "made-1") - truth_of(made, "made-1")).max() <= 2


def test_nothing_of_the_true_boxes_but_the_first_is_used(trees, output):
    evaluate(trees, output / "all")
    path = trees / "lasot/made/made-1/groundtruth.txt"
    path.write_text(path.read_text().splitlines()[0] + "\n" + "NaN,NaN,NaN,NaN\n" * 6)
    evaluate(trees, output / "one")
    assert np.array_equal(boxes_of(output / "all", "made-1"), boxes_of(output / "one", "made-1"))


def test_videos_may_lie_without_the_folder_of_their_class(trees, output):
    (trees / "lasot/made").rename(trees / "away")
    (trees / "away/made-1").rename(trees / "lasot/made-1")
    write_text(trees / "one.txt", "made-1\n")
    evaluate(trees, output, "--videos", "made-1", "--list", trees / "one.txt")
    assert len(boxes_of(output, "made-1")) == 7


# First masks


def first_mask(made, output, *flags):
    evaluate(made, output, "--write_masks", "--videos", "made-1", *flags)
    return read_ids(output.with_name("run-masks") / "made-1/00000001.png") > 0


def test_the_first_mask_is_the_rectangle_and_masks_are_kept_if_asked_for(made, output):
    assert first_mask(made, output).sum() == 16 * 16
    masks = sorted((output.with_name("run-masks") / "made-1").iterdir())
    assert [path.stem for path in masks] == [f"{number:08d}" for number in range(1, 8)]
    assert set(np.unique(read_ids(masks[-1]))) == {0, 255}


def test_grabcut_cuts_the_object_out_of_a_box_that_is_too_large(trees, output):
    write_text(trees / "lasot/made/made-1/groundtruth.txt", "2,10,28,28\n" + "1,1,1,1\n" * 6)
    assert abs(int(first_mask(trees, output, "--first_mask", "grabcut").sum()) - 16 * 16) <= 32
    assert boxes_of(output, "made-1")[0].tolist() == [2, 10, 28, 28]


def test_a_drawn_mask_comes_before_the_box(made, tmp_path, output):
    drawn = np.zeros(SIZE, bool)
    drawn[20:25, 30:33] = True
    (tmp_path / "drawn").mkdir()
    write_binary(tmp_path / "drawn/made-1.png", drawn)
    assert np.array_equal(first_mask(made, output, "--masks", tmp_path / "drawn"), drawn)
    assert boxes_of(output, "made-1")[0].tolist() == truth_of(made, "made-1")[0].tolist()


# Scores


def test_lasot_is_scored_and_lost_frames_count(made, output, capsys):
    evaluate(made, output, "--score")
    assert "Norm Precision" in capsys.readouterr().out
    folder = output.with_name("run-scores")
    videos = {row["Video"]: row for row in table(folder / "boxes-lasot-videos.csv")}
    assert [videos[name]["OP75"] for name in LASOT_NAMES] == ["100.00", f"{100 * 4 / 6:.2f}", "100.00"]
    (whole,) = table(folder / "boxes-lasot.csv")
    assert whole["Tracker"] == "run"
    for measure, most in (("AUC", 2000 / 21), ("OP50", 100), ("Precision", 100), ("Norm Precision AUC", 100)):
        assert float(whole[measure]) == pytest.approx(most * (2 + 4 / 6) / 3, abs=0.006)
    assert Image.open(folder / "boxes-lasot.png").size[0] > 1000


def test_got10k_val_is_scored_without_the_frames_where_the_object_is_gone(made, output):
    evaluate(made, output, "--score", dataset="got10k_val")
    folder = output.with_name("run-scores")
    (whole,) = table(folder / "boxes-got10k_val.csv")
    assert [whole[measure] for measure in ("AO", "SR50", "SR75")] == ["100.00"] * 3
    assert [row["Frames"] for row in table(folder / "boxes-got10k_val-videos.csv")] == ["6", "3", "4"]


def test_got10k_test_is_packed_for_the_server(made, output):
    evaluate(made, output, "--zip", dataset="got10k_test")
    with zipfile.ZipFile(output.with_name("run.zip")) as packed:
        names = [f"GOT-10k_Test_{number:06d}" for number in (1, 2, 3)]
        assert packed.namelist() == [f"{name}/{name}_{end}.txt" for name in names for end in ("001", "time")]
        rows = packed.read(f"{names[0]}/{names[0]}_001.txt").decode().splitlines()
    assert rows[:2] == ["8.000,16.000,16.000,16.000", "16.000,16.000,16.000,16.000"]
    assert len(files_below(output)) == 6


def test_results_of_several_trackers_are_compared(made, output, analyse, capsys):
    evaluate(made, output)
    worse = output.with_name("worse")
    for name in LASOT_NAMES:
        rows = truth_of(made, name)
        write_text(worse / f"{name}.txt", format_rows(rows + np.array([9, 0, 0, 0]), "%d", "\t"))
    common = ["--dataset", "lasot", "--root", made / "lasot", "--results", output, worse]
    analyse(*common, "--names", "good", "worse", "--output", output.with_name("both"))
    good, bad = table(output.with_name("both") / "boxes-lasot.csv")
    assert (good["Tracker"], bad["Tracker"], bad["FPS"]) == ("good", "worse", "nan")
    assert float(good["OP50"]) > float(bad["OP50"]) and good["Precision"] == bad["Precision"]
    assert "good" in capsys.readouterr().out


def test_scores_are_those_of_the_videos_that_are_asked_for(made, output, analyse):
    evaluate(made, output, "--videos", "made-3")
    analyse("--dataset", "lasot", "--root", made / "lasot", "--results", output, "--videos", "made-3")
    assert [row["Video"] for row in table(output.with_name("run-scores") / "boxes-lasot-videos.csv")] == ["made-3"]


def test_true_boxes_without_numbers_are_lost_frames(trees, output):
    path = trees / "lasot/made/made-3/groundtruth.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:3], "NaN,NaN,NaN,NaN", rows[4]]) + "\n")
    evaluate(trees, output, "--score", "--videos", "made-3")
    (row,) = table(output.with_name("run-scores") / "boxes-lasot.csv")
    assert row["OP75"] == "80.00"


def test_made_trees_are_annotated_and_can_be_tracked(tmp_path, output, monkeypatch):
    words = ["--output", tmp_path / "data", "--videos", 2, "--frames", 20, "--size", 48, 80, "--seed", 7]
    monkeypatch.setattr(sys, "argv", ["make_box_trees.py", *map(str, words)])
    make_box_trees.main()
    folder = tmp_path / "data/lasot/made/made-2"
    flags = [read_numbers(folder / name).ravel() for name in ("out_of_view.txt", "full_occlusion.txt")]
    gone = sum(flags) > 0
    assert gone.any() and not gone.all()
    assert np.array_equal(gone, (read_boxes(folder / "groundtruth.txt")[:, 2:] == 0).any(1))
    validation = tmp_path / "data/got10k/val/GOT-10k_Val_000002"
    assert np.array_equal(gone, read_numbers(validation / "cover.label").ravel() == 0)
    for dataset in ("lasot", "got10k_val", "got10k_test"):
        evaluate(tmp_path / "data", output.with_name(dataset), dataset=dataset)
        assert len(files_below(output.with_name(dataset))) == 4


# Running again, and several processes


def test_a_rerun_skips_what_is_done_and_loads_no_network(made, output, loaded, capsys):
    evaluate(made, output)
    loaded.clear()
    evaluate(made, output, "--score")
    assert loaded == []
    assert "3 finished videos skipped" in capsys.readouterr().out


def test_an_interrupted_run_leaves_nothing_half_written_and_a_rerun_does_the_rest(made, output):
    BrightCore.stop = 2
    with pytest.raises(KeyboardInterrupt):
        evaluate(made, output, "--write_masks")
    assert files_below(output) == ["made-1/made-1_001.txt", "made-1/made-1_time.txt"]
    assert [path.name for path in shown(output.with_name("run-masks"))] == ["made-1"]
    BrightCore.made = 10
    evaluate(made, output, "--write_masks")
    assert BrightCore.made == 12
    assert len(files_below(output)) == 6


def test_a_video_without_its_times_is_not_finished(made, output):
    evaluate(made, output)
    (output / "made-2/made-2_time.txt").unlink()
    BrightCore.made = 0
    evaluate(made, output)
    assert BrightCore.made == 1
    assert len(files_below(output)) == 6


def test_two_processes_share_the_videos_and_write_the_boxes_of_one(made, tmp_path, monkeypatch):
    monkeypatch.undo()
    torch.manual_seed(3)
    network = build_network("qdmn_small", backbone="resnet18")
    save_checkpoint(tmp_path / "net.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    evaluate(made, tmp_path / "one", "--model", tmp_path / "net.pth")
    words = ["--dataset", "lasot", "--root", made / "lasot", "--output", tmp_path / "two", "--device", "cpu", "--score"]
    output = complete(start_all(2, eval_boxes.main, tmp_path, [*words, "--model", tmp_path / "net.pth"]))
    assert "18 frames" in output and "in 2 processes" in output
    assert output.count("Norm Precision AUC") == 1
    for name in LASOT_NAMES:
        assert np.array_equal(boxes_of(tmp_path / "two", name), boxes_of(tmp_path / "one", name))
        assert len(np.unique(boxes_of(tmp_path / "one", name), axis=0)) > 1
