"""Comparing policies of the memory on a video that is played to and fro."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import write_ids
from scripts.compare_memory import main, to_and_fro
from tests.helpers.failures import failure_line


@pytest.mark.parametrize(
    ("length", "turns", "first", "positions"),
    [(4, 1, 0, [0, 1, 2, 3]), (4, 3, 0, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]), (4, 2, 2, [2, 3, 2])],
)
def test_the_ends_of_a_turn_are_not_repeated(length, turns, first, positions):
    assert to_and_fro(length, turns, first) == positions


@pytest.fixture
def tree(tmp_path):
    """A bright square that moves over noise, five frames."""
    noise = np.random.default_rng(0).integers(0, 90, (64, 96, 3), dtype=np.uint8)
    for kind in ("frames", "masks"):
        (tmp_path / kind / "cow").mkdir(parents=True)
    for number in range(5):
        frame, mask = noise.copy(), np.zeros((64, 96), np.uint8)
        where = slice(16, 48), slice(16 + 4 * number, 48 + 4 * number)
        frame[where], mask[where] = (250, 220, 40), 1
        Image.fromarray(frame).save(tmp_path / f"frames/cow/{number:05d}.png")
        write_ids(tmp_path / f"masks/cow/{number:05d}.png", mask)
    return tmp_path


def compare(monkeypatch, tree, *flags, videos=("cow",)):
    arguments = ["--frames", f"{tree}/frames", "--annotations", f"{tree}/masks", "--output", f"{tree}/out", *flags]
    monkeypatch.setattr(sys, "argv", ["compare_memory.py", "--videos", *videos, *arguments])
    main()


def test_each_policy_is_scored_over_all_turns(tree, monkeypatch, capsys):
    compare(monkeypatch, tree, "--turns", "2", "--mem_every", "2", "--capacity", "2")
    with (tree / "out/memory.csv").open(encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert header[:5] == ["video", "frames", "quality", "latest", "every"]
    assert row[:2] == ["cow", "9"] and all(float(value) > 80 for value in row[2:])
    with Image.open(tree / "out/memory.png") as picture:
        assert picture.size == (900, 250)
    assert "2 predicted frames kept by each policy" in capsys.readouterr().out


def test_a_video_without_masks_is_named(tree, monkeypatch, capsys):
    line = failure_line(capsys, lambda: compare(monkeypatch, tree, videos=("cow", "hen")))
    assert "frames/hen has 0 frames with masks" in line
    assert not (tree / "out").exists()
