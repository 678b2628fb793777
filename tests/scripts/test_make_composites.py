"""Composites on disk: a tree to train on, and a sheet to look at."""

import sys

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids
from datasets.train.vos_dataset import davis_train
from scripts.make_composites import main
from tests.helpers.pictures import write_set
from util.errors import InputError


def make(monkeypatch, tmp_path, name, *more):
    if not (tmp_path / "static").exists():
        write_set(tmp_path / "static/ecssd")
    words = ["--stage", "0", "--static_root", tmp_path / "static", "--output", tmp_path / name, "--count", "3", *more]
    monkeypatch.setattr(sys, "argv", ["make_composites.py", *map(str, words), "--image_size", "64", "96"])
    main()
    return tmp_path / name


def test_clips_are_a_davis_tree_and_rows_of_a_sheet(monkeypatch, tmp_path):
    output = make(monkeypatch, tmp_path, "made", "--clip_length", "4")
    assert [video for video, _ in davis_train(output, 5).videos] == ["00000", "00001", "00002"]
    masks = sorted(output.glob("2017/trainval/Annotations/480p/00001/*.png"))
    assert [path.stem for path in masks] == ["00000", "00001", "00002", "00003"]
    assert read_ids(masks[0]).shape == (64, 96) and read_ids(masks[0]).max() == 1
    sheet = np.array(Image.open(output / "contact_sheet.png"))
    assert sheet.shape[1] > 4 * 256 and sheet.shape[0] > 3 * 150


def test_the_same_seed_writes_the_same_pixels_and_no_folder_is_written_over(monkeypatch, tmp_path):
    def pixels(folder):
        return [path.read_bytes() for path in sorted(folder.rglob("0*.[jp][pn]g"))]

    first, second = (make(monkeypatch, tmp_path, name) for name in ("one", "two"))
    other = make(monkeypatch, tmp_path, "three", "--seed", 1)
    assert pixels(first) == pixels(second) != pixels(other) and len(pixels(first)) == 18
    with pytest.raises(InputError, match="is not empty"):
        make(monkeypatch, tmp_path, "one")


def test_what_does_not_belong_together_is_refused(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        make(monkeypatch, tmp_path, "made", "--composite_stills")
    assert end.value.code == 2 and "belongs to stages 1 to 3" in capsys.readouterr().err
