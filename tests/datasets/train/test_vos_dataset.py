"""Clips drawn from videos."""

import numpy as np
import pytest

from datasets.train.vos_dataset import youtube_train
from tests.helpers.pictures import (
    boxes,
    frame_numbers,
    longest_step,
    red_channel,
    video_dataset,
    write_numbered_video,
    write_video,
)
from util.errors import InputError


def test_objects_are_drawn_in_either_order(video_root):
    dataset = video_dataset(video_root, num_objects=1)
    left_first = []
    for _ in range(16):
        sample = dataset[0]
        object_columns = sample["masks"][0, 0].nonzero()[:, 1].float().mean()
        all_columns = (red_channel(sample)[0] > 175).nonzero()[:, 1].float().mean()
        left_first.append(bool(object_columns < all_columns))
    assert 3 <= sum(left_first) <= 13


def test_two_objects_have_disjoint_planes(video_root):
    sample = video_dataset(video_root, min_scale=0.99)[0]
    assert (sample["masks"] > 0).sum(1).max() == 1
    assert sample["masks"].flatten(2).any(2).all()


def test_a_single_object_leaves_the_second_plane_empty(tmp_path):
    write_video(tmp_path, "one", [boxes(9)] * 3)
    sample = video_dataset(tmp_path)[0]
    assert sample["selector"].tolist() == [1.0, 0.0]
    assert sample["masks"][:, 0].any() and not sample["masks"][:, 1].any()


def test_a_clip_without_objects_has_empty_masks(tmp_path):
    write_video(tmp_path, "late", [boxes()] * 3 + [boxes(1)])
    sample = video_dataset(tmp_path, draw_positions=lambda *_: [0, 1, 2])[0]
    assert sample["selector"].tolist() == [1.0, 0.0]
    assert not sample["masks"].any()


def test_videos_without_any_object_are_refused(tmp_path):
    write_video(tmp_path, "none", [boxes()] * 3)
    with pytest.raises(InputError, match=r"no mask in .* shows an object"):
        video_dataset(tmp_path)
    write_video(tmp_path, "some", [boxes(1)] * 3)
    with pytest.raises(InputError, match=r"no mask in .*none shows an object"):
        video_dataset(tmp_path)[0]


def test_clips_that_start_without_an_object_are_drawn_again(tmp_path):
    write_video(tmp_path, "late", [boxes()] * 3 + [boxes(4)] * 3)
    dataset = video_dataset(tmp_path, max_skip=1)
    assert sum(bool(dataset[0]["masks"][0].any()) for _ in range(20)) >= 18


def test_an_object_must_be_in_the_first_frame(tmp_path):
    write_video(tmp_path, "changing", [boxes(1), boxes(2), boxes(3)])
    for _ in range(5):
        sample = video_dataset(tmp_path)[0]
        assert sample["masks"][0, 0].any() and not sample["masks"][1:].any()
        assert sample["selector"].tolist() == [1.0, 0.0]


def square(side):
    ids = np.zeros((96, 96), np.uint8)
    ids[48 - side // 2 : 48 + side // 2, 48 - side // 2 : 48 + side // 2] = 1
    return ids


@pytest.mark.parametrize(
    ("sides", "kept"),
    [
        pytest.param((60, 10, 60), True, id="large at first"),
        pytest.param((16, 14, 16), True, id="always small"),
        pytest.param((16, 60, 16), False, id="small, then large"),
        pytest.param((4, 4, 4), False, id="specks"),
    ],
)
def test_tiny_objects_are_dropped_when_they_grow(tmp_path, sides, kept):
    write_video(tmp_path, "v", [square(side) for side in sides])
    for drop_tiny in (True, False):
        sample = video_dataset(tmp_path, drop_tiny=drop_tiny, image_size=(96, 96), min_scale=0.99)[0]
        assert bool(sample["masks"][0].any()) == (kept or not drop_tiny)


def test_black_and_white_masks_give_one_object(tmp_path):
    write_video(tmp_path, "v", [boxes(255)] * 3)
    sample = video_dataset(tmp_path)[0]
    assert sample["masks"][:, 0].any() and sample["selector"].tolist() == [1.0, 0.0]


def test_the_skip_counts_frames_of_the_video(tmp_path):
    write_numbered_video(tmp_path / "train_480p", "v", 30)
    dataset = youtube_train(tmp_path, 25, render=False)
    for skip, annotated_frames in ((25, 5), (14, 2), (1, 1)):
        dataset.max_skip = skip
        assert longest_step(dataset[0] for _ in range(40)) == annotated_frames


@pytest.mark.parametrize("distinct", [True, False])
def test_frames_of_a_clip_coincide_only_on_request(tmp_path, distinct):
    write_numbered_video(tmp_path, "v", 4)
    dataset = video_dataset(tmp_path, max_skip=5, image_size=(16, 16), distinct=distinct, render=False)
    clips = [frame_numbers(dataset[0]) for _ in range(40)]
    assert all(len(set(clip)) == 3 for clip in clips) == distinct


def test_masks_belong_to_their_frames(tmp_path):
    ids = [boxes(1), boxes(1, 1), boxes(1, 1, 1)] * 2
    write_video(tmp_path, "changing", ids)
    for _ in range(5):
        sample = video_dataset(tmp_path, max_skip=2)[0]
        seen, masked = red_channel(sample) > 175, sample["masks"][:, 0] > 0
        assert ((seen & masked).flatten(1).sum(1) > 0.8 * (seen | masked).flatten(1).sum(1)).all()
