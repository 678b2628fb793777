"""Each stage gets its datasets, repeats and skips."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.stages import stage_data
from util.errors import InputError
from util.images import write_ids

NONE = Path("none")


def write_video(frames, masks, length=4, size=(40, 56)):
    for folder in (frames, masks):
        folder.mkdir(parents=True)
    for number in range(length):
        Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(frames / f"{number:05d}.jpg")
        ids = np.zeros(size, np.uint8)
        ids[8:24, 8:30] = 1
        write_ids(masks / f"{number:05d}.png", ids)


@pytest.fixture
def roots(tmp_path):
    davis, youtube = tmp_path / "DAVIS", tmp_path / "YouTube"
    tree = davis / "2017/trainval"
    write_video(tree / "JPEGImages/480p/cow", tree / "Annotations/480p/cow")
    (tree / "ImageSets/2017").mkdir(parents=True)
    (tree / "ImageSets/2017/train.txt").write_text("cow\n")
    for name in ("a", "b"):
        write_video(youtube / "train_480p/JPEGImages" / name, youtube / "train_480p/Annotations" / name)
    write_video(tmp_path / "BL30K/JPEGImages/x", tmp_path / "BL30K/Annotations/x")
    return {"static_root": tmp_path, "bl_root": tmp_path / "BL30K", "davis_root": davis, "yv_root": youtube}


def test_stage_two_repeats_davis_five_times_beside_youtube(roots):
    dataset, _ = stage_data(2, **roots, image_size=32)
    assert len(dataset) == 5 * 1 + 2


def test_either_set_of_stage_two_can_be_left_out(roots):
    assert len(stage_data(2, **{**roots, "yv_root": NONE})[0]) == 5
    assert len(stage_data(2, **{**roots, "davis_root": NONE})[0]) == 2
    with pytest.raises(InputError, match="without data"):
        stage_data(2, **{**roots, "yv_root": NONE, "davis_root": NONE})


def test_a_list_chooses_the_youtube_videos(roots, tmp_path):
    chosen = tmp_path / "list.txt"
    chosen.write_text("b\n")
    assert len(stage_data(2, **{**roots, "davis_root": NONE}, yv_list=chosen)[0]) == 1
    with pytest.raises(InputError, match="nowhere"):
        stage_data(2, **roots, yv_list=tmp_path / "nowhere.txt")


def test_skips_follow_the_schedule_of_each_set(roots):
    dataset, start_epoch = stage_data(2, **roots, image_size=32)
    davis, youtube = dataset.datasets[0], dataset.datasets[-1]
    skips = []
    for epoch in (0, 10, 40, 95):
        start_epoch(epoch, 100)
        skips.append((davis.max_skip, youtube.max_skip))
    assert skips == [(5, 1), (10, 2), (10, 5), (1, 1)]


def test_the_skips_can_be_limited(roots):
    dataset, start_epoch = stage_data(2, **roots, image_size=32, max_skip=7)
    start_epoch(40, 100)
    assert [dataset.datasets[0].max_skip, dataset.datasets[-1].max_skip] == [7, 1]


def test_stage_one_reads_bl30k(roots):
    dataset, _ = stage_data(1, **roots, image_size=32)
    assert [len(dataset), dataset[0]["frames"].shape] == [1, (3, 3, 32, 32)]
