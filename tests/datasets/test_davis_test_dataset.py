"""Test videos as streams."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.test.annotated_video import MaskNote, note_lines, read_ahead
from datasets.test.davis_test_dataset import DavisTestDataset
from tests.helpers.davis_trees import make_davis_2016, make_davis_2017, make_mask
from util.errors import InputError


@pytest.fixture
def video(tmp_path):
    return DavisTestDataset.davis_2017(make_davis_2017(tmp_path, videos=("bike",))).videos[0]


def frames(video):
    return video.frames(video.covered)


def test_only_the_first_frame_brings_a_mask(video):
    stream = list(frames(video))
    assert [frame.name for frame in stream] == ["00000", "00001", "00002", "00003"]
    assert [frame.mask is not None for frame in stream] == [True, False, False, False]


def test_a_frame_is_normalised_at_its_own_size(video):
    frame = next(frames(video))
    assert frame.pixels.shape == (37, 53, 3)
    assert frame.image.shape == (3, 37, 53)
    expected = (frame.pixels[0, 0, 0] / 255 - 0.485) / 0.229
    torch.testing.assert_close(frame.image[0, 0, 0].item(), expected, atol=1e-5, rtol=0)


def test_rows_of_the_mask_are_the_objects_in_ascending_order(video):
    frame = next(frames(video))
    mask = frame.mask
    assert video.objects == frame.objects == (2, 5, 9)
    for row, object_id in zip(mask, video.objects, strict=True):
        np.testing.assert_array_equal(row.numpy(), make_mask() == object_id)


def test_2016_has_one_object_per_video(tmp_path):
    dataset = DavisTestDataset.davis_2016(make_davis_2016(tmp_path / "2016"))
    assert [video.objects for video in dataset] == [(1,), (1,)]
    assert len(dataset) == 2


def test_a_video_can_be_streamed_twice(video):
    first, second = ([frame.name for frame in frames(video)] for _ in range(2))
    assert first == second


def test_a_damaged_frame_surfaces_at_its_place(video):
    video.source.paths[2].write_text("no picture")
    stream = frames(video)
    assert [next(stream).name, next(stream).name] == ["00000", "00001"]
    with pytest.raises(InputError, match=r"00002\.jpg"):
        next(stream)


def test_annotations_are_found_beyond_the_first_frame(tmp_path, video):
    testdev = DavisTestDataset.davis_2017(make_davis_2017(tmp_path / "t", split="testdev"), "testdev")
    assert video.has_truth
    assert not testdev.videos[0].has_truth


def test_reading_ahead_keeps_the_order():
    assert list(read_ahead(lambda x: x * x, range(20), depth=3, threads=3)) == [x * x for x in range(20)]


def test_reading_ahead_never_holds_more_than_its_depth():
    started = []
    stream = read_ahead(started.append, range(1000), depth=4)
    for taken in range(1, 6):
        next(stream)
        assert len(started) <= taken + 4
    stream.close()
    assert len(started) <= 5 + 4


def test_closing_the_stream_ends_its_threads(video):
    before = threading.active_count()
    stream = frames(video)
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before


def test_named_videos_need_no_list(tmp_path):
    root = make_davis_2017(tmp_path / "davis")
    (root / "trainval/ImageSets/2017/val.txt").unlink()
    assert [video.name for video in DavisTestDataset.davis_2017(root, only=["cat"]).videos] == ["cat"]
    with pytest.raises(InputError, match=r"list of videos .*val\.txt does not exist"):
        DavisTestDataset.davis_2017(root)
    with pytest.raises(InputError, match="list of videos mine does not exist"):
        DavisTestDataset.davis_2017(root, only=["cat"], list_file=Path("mine"))


def test_void_is_no_object_and_said(tmp_path):
    root = make_davis_2017(tmp_path / "davis", videos=("cat",), ids=make_mask(objects=(2, 255)))
    dataset = DavisTestDataset.davis_2017(root)
    assert dataset.videos[0].objects == (2,)
    assert dataset.lines_on_masks(dataset.videos) == [
        "mask of cat, frame 00000: object 2 5.1 %; 255 is void, as DAVIS has it"
    ]


def test_the_mask_of_equal_number_is_the_first_frames(tmp_path):
    root = make_davis_2017(tmp_path / "davis", videos=("cat",), split="testdev")
    masks = root / "test-dev/Annotations/480p/cat"
    (masks / "00000.png").rename(masks / "0.png")
    dataset = DavisTestDataset.davis_2017(root, "testdev")
    assert "0.png is taken for frame 00000" in dataset.lines_on_masks(dataset.videos)[0]


def test_a_smooth_mask_of_davis_2016_counts_from_half_brightness_on(tmp_path):
    root = make_davis_2016(tmp_path / "2016", videos=("cat",))
    soft = np.zeros((37, 53), np.uint8)
    cv2.circle(soft, (26, 18), 12, 255, -1, cv2.LINE_AA)
    Image.fromarray(soft).save(root / "Annotations/480p/cat/00000.png")
    dataset = DavisTestDataset.davis_2016(root)
    assert next(iter(dataset.videos[0].frames(dataset.videos[0].passes[0]))).mask.sum() == (soft > 127).sum()
    assert "half brightness" in dataset.lines_on_masks(dataset.videos)[0]


def test_lines_on_masks_begin_with_the_surprising_ones():
    ids = np.zeros((40, 60), np.uint8)
    ids[5:20, 5:25], ids[25:35, 40:55] = 1, 2
    notes = [MaskNote.of("dog", f"{frame:05d}", ids, ["taken for it"] if frame == 2 else []) for frame in range(4)]
    lines = note_lines(notes, most=3)
    assert lines[0] == "mask of dog, frame 00002: object 1 12 %, object 2 6.2 %; taken for it"
    assert len(lines) == 4 and lines[-1] == "... and 1 more masks"
