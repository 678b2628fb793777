"""What the training datasets have in common: samples, and files that do not fit."""

from functools import partial

import numpy as np
import pytest
import torch

from datasets.mask_files import drop_void, list_pairs, match_size, write_ids
from datasets.train.clips import Unrendered
from datasets.train.static_dataset import StaticDataset
from tests.helpers.pictures import CANVAS, SIZE, boxes, red_channel, same, video_dataset, write_video
from util.errors import InputError


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_static_sample_holds_views_of_one_object(static_root, length):
    sample = StaticDataset(static_root / "flat", image_size=CANVAS, clip_length=length)[0]
    assert sample["frames"].shape == (length, 3, SIZE, SIZE) and sample["frames"].dtype == torch.uint8
    assert sample["masks"].shape == (length, 1, SIZE, SIZE) and sample["masks"].dtype == torch.uint8
    assert sample["selector"].tolist() == [1.0]
    assert sample["name"] == "flat/a"


@pytest.mark.parametrize(("length", "objects"), [(2, 1), (3, 2), (4, 3)])
def test_a_video_sample_holds_frames_and_objects(video_root, length, objects):
    sample = video_dataset(video_root, clip_length=length, num_objects=objects, min_scale=0.99)[0]
    assert sample["frames"].shape == (length, 3, SIZE, SIZE) and sample["frames"].dtype == torch.uint8
    assert sample["masks"].shape == (length, objects, SIZE, SIZE) and sample["masks"].dtype == torch.uint8
    assert sample["selector"].dtype == torch.float32
    assert sample["selector"].tolist() == [1.0] * min(objects, 2) + [0.0] * max(0, objects - 2)
    assert set(sample["masks"].unique().tolist()) == {0, 255}
    assert sample["name"] == "two"


def test_masks_lie_on_their_objects(video_root, static_root):
    for dataset in (video_dataset(video_root), StaticDataset(static_root / "flat", image_size=CANVAS)):
        for seed in range(5):
            torch.manual_seed(seed)
            sample = dataset[0]
            seen, masked = red_channel(sample) > 175, sample["masks"].amax(1) > 127
            assert (seen & masked).sum() > 0.85 * (seen | masked).sum()


def test_torch_seed_decides_everything(video_root, static_root):
    for dataset in (video_dataset(video_root), StaticDataset(static_root / "flat", image_size=CANVAS)):
        first, second, other = [(torch.manual_seed(seed), dataset[0])[1] for seed in (5, 5, 6)]
        assert same(first, second)
        assert not same(first, other)


def test_frames_left_to_the_device_are_the_sources_of_the_same_draw(video_root, static_root):
    static, videos = partial(StaticDataset, static_root / "flat", image_size=CANVAS), partial(video_dataset, video_root)
    for dataset in (static, videos):
        rendered, left = ((torch.manual_seed(5), dataset(render=render)[0])[1] for render in (True, False))
        assert isinstance(left["frames"], Unrendered)
        assert left["frames"].sources.shape[1:] == (3, 60, 80) and left["frames"].sources.dtype == torch.uint8
        assert len(left["frames"].plan.matrices) == len(rendered["frames"])
        assert all(torch.equal(rendered[key], left[key]) for key in ("masks", "selector"))


def test_equal_sizes_leave_the_mask_alone():
    mask = boxes(1)
    assert match_size(mask, (60, 80), "m") is mask


def test_a_mask_one_column_short_is_resized_with_one_warning(caplog):
    for _ in range(3):
        mask = match_size(boxes(4, shape=(60, 79)), (60, 80), "narrow.png")
        assert mask.shape == (60, 80) and set(np.unique(mask).tolist()) == {0, 4}
    assert [record.getMessage().count("narrow.png") for record in caplog.records] == [1]


def test_a_mask_of_another_size_is_an_input_error():
    with pytest.raises(InputError, match=r"other.png is 77x60 but its frame is 80x60"):
        match_size(boxes(4, shape=(60, 77)), (60, 80), "other.png")


def test_a_size_mismatch_in_a_video_names_it(video_root):
    for i in range(6):
        write_ids(video_root / f"Annotations/two/{i:05d}.png", boxes(1, shape=(30, 40)))
    with pytest.raises(InputError, match="two"):
        video_dataset(video_root)[0]


def test_frames_of_different_sizes_are_an_input_error(tmp_path):
    write_video(tmp_path, "v", [boxes(1), boxes(1), boxes(1, shape=(30, 40))])
    with pytest.raises(InputError, match="different sizes"):
        video_dataset(tmp_path)[0]


def test_a_truncated_picture_is_named(video_root, static_root):
    for path in [*(video_root / "JPEGImages/two").iterdir(), static_root / "flat/a.jpg"]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"JPEGImages/two/0000\d.jpg cannot be read"):
        video_dataset(video_root)[0]
    with pytest.raises(InputError, match=r"flat/a.jpg cannot be read"):
        StaticDataset(static_root / "flat")[0]


def test_void_is_dropped_from_palette_masks_and_kept_in_black_and_white_ones():
    palette = np.array([[0, 1, 255]], np.uint8)
    black_and_white = np.array([[0, 255, 255]], np.uint8)
    assert drop_void([palette])[0].tolist() == [[0, 1, 0]]
    assert drop_void([black_and_white])[0].tolist() == [[0, 255, 255]]
    assert drop_void([black_and_white, palette])[0].tolist() == [[0, 0, 0]]


def test_frames_and_masks_are_paired_by_stem_in_natural_order(tmp_path):
    for name in ("10.jpg", "9.jpg", "8.png", "7.jpg", ".9.jpg", "notes.txt"):
        (tmp_path / "frames").mkdir(exist_ok=True)
        (tmp_path / "frames" / name).touch()
    for name in ("8.png", "9.png", "10.png", "11.png", ".9.png", "7.jpg"):
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / name).touch()
    pairs = list_pairs(tmp_path / "frames", tmp_path / "masks")
    assert [(frame.name, mask.name) for frame, mask in pairs] == [
        ("8.png", "8.png"), ("9.jpg", "9.png"), ("10.jpg", "10.png")
    ]  # fmt: skip
    assert list_pairs(tmp_path / "frames", tmp_path / "elsewhere") == []
