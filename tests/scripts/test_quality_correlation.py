"""Rank correlation of predicted quality and true IoU."""

import math
import sys

import numpy as np
import pytest

from datasets.mask_files import write_ids
from evaluation.quality_table import QualityRow
from scripts.quality_correlation import main, ranks, spearman
from tests.helpers.quality_tables import write_quality_table
from util.errors import InputError


def test_equal_values_share_their_mean_rank():
    assert ranks(np.array([0.3, 0.1, 0.3, 0.9])).tolist() == [1.5, 0, 1.5, 3]


def test_only_the_order_counts():
    x = np.array([0.1, 0.4, 0.2, 0.9])
    assert spearman(x, x**3) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    assert spearman(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])) == pytest.approx(0.8)


def test_a_constant_has_no_correlation():
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))


@pytest.fixture
def tree(tmp_path):
    """A square whose result shrinks from frame to frame, and qualities that say so."""
    for folder in ("true", "out"):
        (tmp_path / folder / "cow").mkdir(parents=True)
    for number in range(5):
        mask = np.zeros((32, 32), np.uint8)
        mask[4:24, 4:24] = 1
        write_ids(tmp_path / f"true/cow/{number:05d}.png", mask)
        mask[4 : 4 + 4 * number] = 0
        write_ids(tmp_path / f"out/cow/{number:05d}.png", mask)
    (tmp_path / "out-quality").mkdir()
    rows = [
        QualityRow(number, f"{number:05d}", 1, quality, None, "temporary" if number else "permanent", False, None, ())
        for number, quality in enumerate((0.1, 0.9, 0.8, 0.6, 0.5))
    ]
    write_quality_table(tmp_path / "out-quality/cow.csv", rows)
    return tmp_path


def correlate(monkeypatch, tree):
    arguments = ["--results", f"{tree}/out", "--annotations", f"{tree}/true"]
    monkeypatch.setattr(sys, "argv", ["quality_correlation.py", *arguments])
    main()


def test_annotated_frames_are_left_out_and_a_picture_drawn(tree, monkeypatch, capsys):
    correlate(monkeypatch, tree)
    assert " 1.000  (4 masks)" in capsys.readouterr().out
    assert (tree / "out-quality/scatter.png").stat().st_size > 0


def test_qualities_that_are_nan_are_left_out_and_counted(tree, monkeypatch, capsys):
    table = tree / "out-quality/cow.csv"
    table.write_text(table.read_text().replace("0.9000", "nan"))
    correlate(monkeypatch, tree)
    printed = capsys.readouterr().out
    assert " 1.000  (3 masks)" in printed and "cow.csv that are NaN and left out: 1" in printed


def test_qualities_of_frames_of_other_names_are_refused(tree, monkeypatch):
    table = tree / "out-quality/cow.csv"
    table.write_text(table.read_text().replace(",0000", ","))
    with pytest.raises(InputError, match=r"cow\.csv holds no quality of a frame"):
        correlate(monkeypatch, tree)


def test_results_without_qualities_are_refused(tree, monkeypatch):
    (tree / "out-quality/cow.csv").unlink()
    with pytest.raises(InputError, match="--quality_csv"):
        correlate(monkeypatch, tree)
