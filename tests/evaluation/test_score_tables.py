"""The tables of scores, and the script that scores a result tree."""

import csv
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from evaluation.score_tables import format_table, score_folder, write_csv
from tests.helpers.result_files import shown
from tests.helpers.scored_trees import build_trees, clip, save, score
from util.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trees(tmp_path):
    return partial(build_trees, tmp_path)


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
