"""The folder trees that hold made clips, and the script that writes them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.frame_files import read_frame
from datasets.mask_files import read_ids
from datasets.synthetic import trees as synthetic_trees
from datasets.synthetic.clips import make_clip
from scripts import make_synthetic
from tests.helpers.result_files import shown
from util.errors import InputError

pytestmark = pytest.mark.slow

SIZE = (96, 160)


def make_tree(monkeypatch, output, layout, *arguments):
    words = ["make_synthetic", "--output", output, "--layout", layout, "--size", *SIZE, "--workers", 1, *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    make_synthetic.main()


def names(folder):
    return sorted(path.name for path in shown(folder))


def numbered(count, suffix, step=1):
    return [f"{number:05d}{suffix}" for number in range(0, count, step)]


def test_davis_tree_holds_frames_masks_and_lists(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "davis", "--videos", 2, "--val", 1, "--frames", 3, "--objects", 2)
    root = tmp_path / "2017/trainval"
    assert (root / "ImageSets/2017/train.txt").read_text().split() == ["train00000", "train00001"]
    for year in ("2016", "2017"):
        assert (root / f"ImageSets/{year}/val.txt").read_text().split() == ["val00000"]
    for video in ("train00000", "train00001", "val00000"):
        for tree in (root, tmp_path / "2016"):
            assert names(tree / "JPEGImages/480p" / video) == numbered(3, ".jpg")
            assert names(tree / "Annotations/480p" / video) == numbered(3, ".png")
        ids = read_ids(root / "Annotations/480p" / video / "00000.png")
        assert set(np.unique(ids)) == {0, 1, 2}
        merged = read_ids(tmp_path / "2016/Annotations/480p" / video / "00000.png")
        assert np.array_equal(merged, np.where(ids > 0, 255, 0))
        assert read_frame(root / "JPEGImages/480p" / video / "00000.jpg").shape == (*SIZE, 3)


def test_youtube_tree_annotates_objects_when_they_appear(monkeypatch, tmp_path):
    options = ("--videos", 1, "--val", 2, "--frames", 20, "--objects", 3, "--late", 0.9)
    make_tree(monkeypatch, tmp_path, "youtube", *options)
    for kind, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".png")):
        assert names(tmp_path / "train_480p" / kind / "train00000") == numbered(20, suffix, 5)
    videos = json.loads((tmp_path / "valid/meta.json").read_text())["videos"]
    assert sorted(videos) == ["val00000", "val00001"]
    for video, description in videos.items():
        assert names(tmp_path / "valid/JPEGImages" / video) == numbered(20, ".jpg", 5)
        assert names(tmp_path / "all_frames/valid_all_frames/JPEGImages" / video) == numbered(20, ".jpg")
        masks = sorted((tmp_path / "valid/Annotations" / video).iterdir())
        seen = {}
        for mask in masks:
            for label in set(np.unique(read_ids(mask))) - {0}:
                seen.setdefault(str(label), mask.stem)
        assert seen == {label: entry["frames"][0] for label, entry in description["objects"].items()}
        assert {mask.stem for mask in masks} == set(seen.values())
        assert len(masks) > 1


def test_bl30k_tree_has_a_mask_for_each_frame(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 2)
    assert names(tmp_path) == ["Annotations", "JPEGImages"]
    assert names(tmp_path / "JPEGImages/train00000") == numbered(2, ".jpg")
    assert names(tmp_path / "Annotations/train00000") == numbered(2, ".png")


def test_static_tree_has_a_grey_mask_beside_each_picture_in_every_set(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "static", "--videos", 7)
    pictures = sorted(tmp_path.rglob("*.jpg"))
    assert len(pictures) == 7
    assert {p.relative_to(tmp_path).parts[0] for p in pictures} == set(synthetic_trees.STATIC_SETS)
    assert names(tmp_path / "fss/class0000") == ["1.jpg", "1.png", "2.jpg", "2.png"]
    for picture in pictures:
        mask = Image.open(picture.with_suffix(".png"))
        assert mask.mode == "L"
        assert set(np.unique(np.array(mask))) == {0, 255}


def test_written_masks_are_those_of_the_clip(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 2, "--objects", 2, "--seed", 3)
    _, ids = make_clip(2 * 3 * make_synthetic.SEEDS_PER_TREE, 2, *SIZE, 2)
    written = [read_ids(tmp_path / "Annotations/train00000" / name) for name in numbered(2, ".png")]
    assert np.array_equal(np.stack(written), ids)


def test_workers_write_the_same_tree_as_one_process(monkeypatch, tmp_path):
    options = ["--videos", "2", "--frames", "2", "--size", *map(str, SIZE)]
    make_tree(monkeypatch, tmp_path / "one", "bl30k", *options)
    script = Path(make_synthetic.__file__)
    command = [sys.executable, str(script), "--output", str(tmp_path / "two"), "--layout", "bl30k", *options]
    done = subprocess.run([*command, "--workers", "2"], cwd=script.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("0*.*"))
    assert len(files) == 8
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_training_and_validation_videos_show_different_things(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "davis", "--videos", 3, "--val", 3, "--frames", 1)
    pictures = [path.read_bytes() for path in (tmp_path / "2017/trainval/JPEGImages").rglob("*.jpg")]
    assert len(pictures) == len(set(pictures)) == 6


def test_a_folder_that_holds_files_is_refused_unless_overwriting_is_asked_for(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 3)
    with pytest.raises(InputError, match="not empty"):
        make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 1)
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 1, "--overwrite")
    assert names(tmp_path / "JPEGImages/train00000") == numbered(1, ".jpg")


def test_an_interrupted_video_leaves_nothing_behind(monkeypatch, tmp_path):
    def interrupted(path, ids):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_trees, "write_ids", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 3)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("layout", "arguments", "complaint"),
    [
        ("bl30k", ("--val", 2), "no validation"),
        ("davis", ("--videos", 0, "--val", 0), "both 0"),
        ("davis", ("--objects", 3, 1), "--objects"),
        ("davis", ("--objects", 300), "255 objects"),
    ],
)
def test_unusable_options_are_named(monkeypatch, tmp_path, layout, arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        make_tree(monkeypatch, tmp_path, layout, *arguments)
