"""What runs of the DAVIS evaluation scripts find finished, and what they write beside the results."""

import csv
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

import eval_davis
import eval_davis_2016
from datasets.mask_files import read_ids
from tests.helpers.davis_runs import evaluate
from tests.helpers.davis_trees import make_davis_2016, make_mask
from tests.helpers.result_files import files_below
from util.errors import InputError

# Running again


def test_a_rerun_skips_finished_videos_and_loads_no_network(davis, output, built, capsys):
    evaluate(eval_davis, davis, output)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    built.clear()
    evaluate(eval_davis, davis, output)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == times
    assert built == []
    assert "2 finished videos skipped" in capsys.readouterr().out


def test_overwrite_segments_finished_videos_again_and_leaves_what_others_put_there(davis, output, built):
    evaluate(eval_davis, davis, output)
    built.clear()
    (output / "bike/notes.txt").write_text("mine")
    evaluate(eval_davis, davis, output, "--overwrite")
    assert built != []
    np.testing.assert_array_equal(read_ids(output / "bike/00001.png"), make_mask())
    assert (output / "bike/notes.txt").read_text() == "mine"
    assert len(files_below(output)) == 9


def test_a_result_that_was_edited_is_never_replaced(davis, output):
    evaluate(eval_davis, davis, output)
    Image.new("P", (53, 37)).save(output / "bike/00001.png")
    with pytest.raises(InputError, match=r"bike/00001\.png exists .* or was changed since"):
        evaluate(eval_davis, davis, output, "--overwrite")
    assert not read_ids(output / "bike/00001.png").any()


def test_an_unfinished_video_is_segmented_again(davis, output):
    evaluate(eval_davis, davis, output)
    (output / "cat/00003.png").unlink()
    shutil.rmtree(output / "bike")
    evaluate(eval_davis, davis, output)
    assert files_below(output) == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]


# Score, archive, sheets, tables


def test_scoring_perfect_results_gives_one(davis, output, capsys):
    evaluate(eval_davis, davis, output, "--score")
    assert "1.000" in capsys.readouterr().out
    with (output.with_name("val-scores") / "global_results-val.csv").open() as stream:
        assert next(csv.DictReader(stream))["J&F-Mean"] == "1.000"


def test_2016_is_scored_as_one_object(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    evaluate(eval_davis_2016, davis, output, "--score")
    with (output.with_name("val-scores") / "per-sequence_results-val.csv").open() as stream:
        assert [row["Sequence"] for row in csv.DictReader(stream)] == ["bike_1", "cat_1"]


def test_the_archive_holds_the_videos_of_the_list_at_its_top(davis, output):
    (output / "another").mkdir(parents=True)
    (output / "another/00000.png").touch()
    evaluate(eval_davis, davis, output, "--zip")
    with zipfile.ZipFile(output.with_name("val.zip")) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]
        assert archive.read("cat/00002.png") == (output / "cat/00002.png").read_bytes()


def test_contact_sheets_and_quality_tables_lie_beside_the_results(davis, output):
    evaluate(eval_davis, davis, output, "--contact_sheet", "--quality_csv")
    assert files_below(output.with_name("val-sheets")) == ["bike.png", "cat.png"]
    with (output.with_name("val-quality") / "cat.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows[::3]] == ["00000", "00001", "00002", "00003"]
    assert (rows[11]["object"], rows[11]["quality"]) == ("9", "0.9000")
    assert len(files_below(output)) == 8
