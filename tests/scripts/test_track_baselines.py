"""Sets of boxes made of masks, and what tracks them without weights."""

import sys

import numpy as np
import pytest

from datasets.boxes.boxes import read_boxes
from datasets.mask_files import write_ids
from scripts import boxes_of_masks, track_baselines
from tests.helpers.box_runs import make_trees, square_video
from tests.helpers.failures import failure_line


@pytest.fixture
def videos(tmp_path):
    """A video with frames and masks of two objects."""
    make_trees(tmp_path / "trees")
    frames = tmp_path / "frames/clip"
    frames.parent.mkdir()
    (tmp_path / "trees/lasot/made/made-1/img").rename(frames)
    for t, mask in enumerate(square_video().masks, start=1):
        ids = mask.astype(np.uint8)
        ids[:4, :6] = 2 if t < 3 else 0
        (tmp_path / "masks/clip").mkdir(parents=True, exist_ok=True)
        write_ids(tmp_path / f"masks/clip/{t:08}.png", ids)
    return tmp_path


def run(monkeypatch, module, *words):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    module.main()


def make_boxes(videos, monkeypatch):
    places = ["--frames", videos / "frames", "--masks", videos / "masks", "--output", videos / "boxes"]
    run(monkeypatch, boxes_of_masks, *places)
    return videos / "boxes"


def test_each_object_is_a_video_with_the_boxes_of_its_masks(videos, monkeypatch):
    root = make_boxes(videos, monkeypatch)
    assert read_boxes(root / "clip_1/groundtruth_rect.txt").tolist() == square_video().boxes.tolist()
    assert read_boxes(root / "clip_2/groundtruth_rect.txt")[:3].tolist() == [[0, 0, 6, 4], [0, 0, 6, 4], [0, 0, 0, 0]]
    assert len(list((root / "clip_2/img").glob("*.jpg"))) == 7


def test_a_frame_without_mask_is_named(videos, monkeypatch, capsys):
    (videos / "masks/clip/00000002.png").unlink()
    line = failure_line(capsys, lambda: make_boxes(videos, monkeypatch))
    assert "has 6 masks" in line


def test_baselines_track_and_the_moving_square_leaves_the_first_box(videos, monkeypatch, capsys):
    root, output = make_boxes(videos, monkeypatch), videos / "out"
    run(monkeypatch, track_baselines, "--dataset", "otb", "--root", root, "--videos", "clip_1", "--output", output)
    first = read_boxes(output / "first_box/clip_1/clip_1_001.txt")
    assert (first == first[0]).all() and first[0].tolist() == [8, 16, 16, 16]
    found = read_boxes(output / "mil/clip_1/clip_1_001.txt")
    assert len(found) == 7 and np.isfinite(found).all() and (found[:, 2:] == 16).all()
    words = ["--dataset", "otb", "--root", root, "--output", output]
    assert "is not empty" in failure_line(capsys, lambda: run(monkeypatch, track_baselines, *words))
