"""Which videos each training set uses."""

import logging

import pytest

from datasets.train.vos_dataset import VOSDataset, bl30k_train, davis_train, youtube_train
from datasets.video_list import read_video_list
from tests.helpers.pictures import boxes, video_dataset, write_pair, write_video
from util.errors import InputError


def names(dataset):
    return [name for name, _ in dataset.videos]


def test_short_videos_are_left_out_with_one_line(video_root, caplog):
    write_video(video_root, "short", [boxes(1)] * 2)
    write_video(video_root, "half", [boxes(1)] * 4)
    for i in (1, 3):
        (video_root / f"Annotations/half/0000{i}.png").unlink()
    (video_root / "JPEGImages/unmasked").mkdir()
    with caplog.at_level(logging.WARNING):
        assert names(video_dataset(video_root)) == ["two"]
    assert len(caplog.records) == 1
    assert "3 videos" in caplog.text and "short" in caplog.text


def test_frames_without_mask_take_no_part(tmp_path):
    write_video(tmp_path, "v", [boxes(1)] * 9)
    for i in (1, 2, 4, 5, 7, 8):
        (tmp_path / f"Annotations/v/0000{i}.png").unlink()
        (tmp_path / f"JPEGImages/v/0000{i}.jpg").write_bytes(b"never read")
    assert video_dataset(tmp_path, max_skip=5)[0]["masks"].flatten(1).any(1).all()


def test_a_subset_names_the_videos(video_root):
    write_video(video_root, "one", [boxes(5)] * 4)
    assert names(video_dataset(video_root)) == ["one", "two"]
    assert names(video_dataset(video_root, subset={"two", "absent"})) == ["two"]
    with pytest.raises(InputError, match="no wanted video"):
        video_dataset(video_root, subset={"absent"})


def write_davis(root, release, videos):
    for video in videos:
        for i in range(3):
            name = f"480p/{video}/{i:05d}"
            write_pair(root / release / f"JPEGImages/{name}.jpg", root / release / f"Annotations/{name}.png", boxes(1))


def write_list(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_davis_prefers_2017_with_its_list(tmp_path):
    write_davis(tmp_path, "2017/trainval", ["train", "val"])
    write_davis(tmp_path, "2016", ["old"])
    write_list(tmp_path / "2017/trainval/ImageSets/2017/train.txt", ["train"])
    write_list(tmp_path / "2017/trainval/ImageSets/2016/train.txt", ["old"])
    assert names(davis_train(tmp_path, 5)) == ["train"]


@pytest.mark.parametrize("listed_2017", [None, ["elsewhere"]])
@pytest.mark.parametrize("list_2016", ["2017/trainval/ImageSets/2016", "2016/ImageSets/2016", "2016/ImageSets/480p"])
def test_davis_falls_back_to_2016(tmp_path, listed_2017, list_2016):
    write_davis(tmp_path, "2017/trainval", ["val"])
    write_davis(tmp_path, "2016", ["old", "held-out"])
    write_list(tmp_path / list_2016 / "train.txt", ["old"])
    if listed_2017:
        write_list(tmp_path / "2017/trainval/ImageSets/2017/train.txt", listed_2017)
    assert names(davis_train(tmp_path, 5)) == ["old"]


def test_davis_without_any_list_uses_all_and_says_so(tmp_path, caplog):
    write_davis(tmp_path, "2017/trainval", ["a", "b"])
    assert names(davis_train(tmp_path, 5)) == ["a", "b"]
    assert "all videos are used" in caplog.text


def test_davis_never_trains_on_videos_outside_a_list(tmp_path):
    write_davis(tmp_path, "2017/trainval", ["val"])
    write_list(tmp_path / "2017/trainval/ImageSets/2017/train.txt", ["elsewhere"])
    with pytest.raises(InputError, match="no video of a train list"):
        davis_train(tmp_path, 5)


def test_lists_may_name_videos_or_files(tmp_path):
    lines = ["bear", "", "/JPEGImages/480p/boat/00000.jpg /Annotations/480p/boat/00000.png"]
    write_list(tmp_path / "train.txt", lines)
    assert read_video_list(tmp_path / "train.txt") == ["bear", "boat"]


def test_bl30k_drops_tiny_objects_only(tmp_path):
    write_video(tmp_path, "v", [boxes(1)] * 3)
    assert bl30k_train(tmp_path, 5).drop_tiny
    assert not bl30k_train(tmp_path, 5, drop_tiny=False).drop_tiny


@pytest.mark.parametrize("build", [davis_train, youtube_train, bl30k_train])
def test_missing_roots_are_named(tmp_path, build):
    with pytest.raises(InputError, match=r"nowhere.*pass --"):
        build(tmp_path / "nowhere", 5)


def test_missing_masks_folder_is_named(tmp_path):
    write_video(tmp_path, "v", [boxes(1)] * 3)
    with pytest.raises(InputError, match="elsewhere does not exist"):
        VOSDataset(tmp_path / "JPEGImages", tmp_path / "elsewhere", max_skip=5)
