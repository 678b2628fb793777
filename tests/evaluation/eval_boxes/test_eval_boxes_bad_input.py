"""What eval_boxes.py and scripts/analyse_boxes.py say of input that cannot be used."""

import sys

import numpy as np
import pytest

from datasets.mask_files import write_binary
from scripts import analyse_boxes
from tests.helpers.box_runs import SIZE, evaluate
from tests.helpers.failures import failure_line
from tests.helpers.result_files import files_below


def fail(capsys, trees, output, *flags, dataset="lasot"):
    line = failure_line(capsys, lambda: evaluate(trees, output, *flags, dataset=dataset))
    assert not output.exists()
    return line


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("80,0,9,9", "lies outside of its frame of 80x48"),
        ("0,-20,9,20", "lies outside"),
        ("NaN,NaN,NaN,NaN", "has no size"),
        ("0,0,0,0", "has no size"),
        ("5,5,-2,4", "has no size"),
        ("5,5,2", "3 numbers in a row"),
        ("0.1,0.2,0.3,0.4", "smaller than a pixel"),
        ("5,5,9,9\n5,5,9,9", "2 rows but"),
        ("five", "no table of numbers"),
        ("", "is empty"),
    ],
)
def test_a_first_box_that_cannot_be_used_is_named(trees, output, capsys, loaded, row, message):
    (trees / "lasot/made/made-2/groundtruth.txt").write_text(row + "\n")
    line = fail(capsys, trees, output)
    assert "made-2/groundtruth.txt" in line and message in line
    assert loaded == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("made-1\nmade-9\n", "video made-9"),
        ("cat\n", "video cat"),
        ("\n", "is empty"),
        ("../made-1/x\n../..\n", "video"),
    ],
)
def test_a_wrong_list_is_named(trees, tmp_path, output, capsys, lines, message):
    (tmp_path / "list.txt").write_text(lines)
    line = fail(capsys, trees, output, "--list", tmp_path / "list.txt")
    assert message in line and "list.txt" in line


def test_without_a_list_the_official_one_is_asked_for(trees, output, capsys):
    (trees / "lasot/testing_set.txt").unlink()
    assert "video airplane-1 of" in fail(capsys, trees, output)
    (trees / "got10k/val/list.txt").unlink()
    assert "val/list.txt does not exist" in fail(capsys, trees, output, dataset="got10k_val")


@pytest.mark.parametrize(
    ("flags", "dataset", "message"),
    [
        (["--root", "nowhere"], "lasot", "folder nowhere does not exist"),
        (["--masks", "nowhere"], "lasot", "folder nowhere does not exist"),
        (["--videos", "dog"], "lasot", "video dog is not in"),
        (["--score"], "got10k_test", "has no true boxes"),
        (["--zip", "--videos", "made-1"], "lasot", "without --videos"),
    ],
)
def test_a_wrong_command_line_is_refused_before_the_run(trees, output, capsys, loaded, flags, dataset, message):
    assert message in fail(capsys, trees, output, *flags, dataset=dataset)
    assert loaded == []


@pytest.mark.parametrize(("size", "message"), [(None, "does not exist"), ((9, 9), "9x9"), (SIZE, "holds no object")])
def test_a_drawn_mask_that_cannot_be_used_is_named(trees, tmp_path, output, capsys, size, message):
    (tmp_path / "drawn").mkdir()
    if size:
        write_binary(tmp_path / "drawn/made-1.png", np.zeros(size, bool))
    line = fail(capsys, trees, output, "--masks", tmp_path / "drawn", "--videos", "made-1")
    assert "drawn/made-1.png" in line and message in line


@pytest.fixture
def scored(trees, output, monkeypatch, capsys):
    """Spoils a file of the annotations or of the results; the line that scoring then ends with."""
    evaluate(trees, output)
    evaluate(trees, output.with_name("val"), dataset="got10k_val")

    def spoil(path, text, kind="lasot"):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        results = output if kind == "lasot" else output.with_name("val")
        words = ["--dataset", kind, "--root", trees / kind.partition("_")[0], "--results", results]
        monkeypatch.setattr(sys, "argv", ["analyse_boxes.py", *map(str, words)])
        return failure_line(capsys, analyse_boxes.main)

    return spoil


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "video made-2 has no results"),
        ("1,2,3,4\n", "rows but"),
        ("1,2,3,4\n" * 5 + "1,2,-3,4\n", "row 6 of"),
        ("1,2,3,4\nnan,2,3,4\n" * 3, "row 2 of"),
        ("0.1,0.2,0.3,0.4\n" * 6, "smaller than a pixel"),
    ],
)
def test_results_that_cannot_be_scored_are_named(scored, output, text, message):
    line = scored(output / "made-2/made-2_001.txt", text)
    assert message in line and "made-2" in line
    assert not output.with_name("run-scores").exists()


def test_results_of_another_length_are_named(scored, output):
    (output / "made-2/made-2_time.txt").unlink()
    assert "made-2_001.txt has 4 rows but" in scored(output / "made-2/made-2_001.txt", "1,2,3,4\n" * 4)


@pytest.mark.parametrize("row", ["0,05", "-0.05", "nan", "inf"])
def test_times_that_are_no_seconds_are_named(scored, output, row):
    assert "made-2_time.txt" in scored(output / "made-2/made-2_time.txt", f"{row}\n" * 6)


def test_a_first_box_that_reaches_far_beyond_its_frame_is_said(trees, output, caplog):
    (trees / "lasot/made/made-2/groundtruth.txt").write_text("40,30,72,46\n")
    evaluate(trees, output)
    (line,) = (line for line in caplog.messages if "reaches beyond" in line)
    assert "made-2/groundtruth.txt" in line


def test_results_that_begin_beside_the_true_box_are_said(scored, trees, output, caplog):
    path = output / "made-1/made-1_001.txt"
    path.write_text("70,0,5,5\n" + path.read_text().partition("\n")[2])
    scored(output / "made-2/made-2_001.txt", None)
    (line,) = (line for line in caplog.messages if "are these results of it" in line)
    assert "made-1_001.txt" in line


def test_annotations_that_cannot_be_used_are_named(scored, trees):
    folder = trees / "got10k/val/GOT-10k_Val_000001"
    assert "meta_info.ini does not tell" in scored(
        folder / "meta_info.ini", "[METAINFO]\nresolution: big\n", "got10k_val"
    )
    assert "says that frames have 0x0" in scored(
        folder / "meta_info.ini", "[METAINFO]\nresolution: 0x0\n", "got10k_val"
    )
    assert "cover.label has 2 numbers" in scored(folder / "cover.label", "1\n2\n", "got10k_val")
    assert "cover.label holds nan" in scored(folder / "cover.label", "nan\n" * 7, "got10k_val")
    assert "cover.label has 2 columns" in scored(folder / "cover.label", "8 8\n" * 4, "got10k_val")
    assert "out_of_view.txt cannot be read" in scored(trees / "lasot/made/made-1/out_of_view.txt", None)


def test_a_bad_frame_leaves_the_videos_before_it(trees, output, capsys):
    (trees / "lasot/made/made-2/img/00000003.jpg").write_bytes(b"no picture")
    line = failure_line(capsys, lambda: evaluate(trees, output))
    assert "made-2/img/00000003.jpg" in line
    assert files_below(output) == ["made-1/made-1_001.txt", "made-1/made-1_time.txt"]
