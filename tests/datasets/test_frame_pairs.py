"""Pairs of frames for pre-training."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.train.clip_sampler import SampleRequest
from datasets.train.frame_pairs import FramePairs, collate_pairs, draw_pair, find_videos, pairs_to_device
from datasets.train.stages import Part, StageData
from util.errors import InputError


def write_frames(folder, count, size=(32, 24), suffix="png", level=lambda i: 10 * i):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (level(i),) * 3).save(folder / f"frame{i}.{suffix}")


def names(videos, root):
    return [str(video.relative_to(root)) for video in videos]


@pytest.mark.parametrize(("length", "gap"), [(2, 50), (3, 2), (10, 4), (10, 10), (10, 50), (60, 50)])
def test_every_pair_within_the_gap_is_drawn_and_no_other(length, gap):
    torch.manual_seed(0)
    expected = {(i, j) for i in range(length - 1) for j in range(i + 1, min(length, i + gap))}
    drawn = Counter(draw_pair(length, gap) for _ in range(200 if length < 60 else 30_000))
    assert set(drawn) <= expected
    assert len(drawn) >= 0.95 * len(expected)


def test_the_earlier_frame_is_drawn_evenly_then_the_later_one():
    torch.manual_seed(0)
    drawn = [draw_pair(5, 3) for _ in range(8000)]
    earlier = Counter(i for i, _ in drawn)
    assert all(abs(earlier[i] - 2000) < 200 for i in range(4))
    after_first = Counter(j for i, j in drawn if i == 0)
    assert abs(after_first[1] - after_first[2]) < 200


def test_the_earlier_frame_comes_first_whatever_the_names(tmp_path):
    write_frames(tmp_path / "video", 12, level=lambda i: 20 * i)
    pairs = FramePairs([tmp_path / "video"], image_size=16, frame_gap=4)
    torch.manual_seed(0)
    for _ in range(40):
        earlier, later = pairs[0]["frames"][:, 0, 8, 8].tolist()
        assert 20 <= later - earlier <= 60


def test_frames_are_cropped_and_mirrored_each_for_itself(tmp_path):
    folder = tmp_path / "video"
    folder.mkdir()
    ramp = np.broadcast_to(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (60, 60, 3))
    for i in range(2):
        Image.fromarray(np.ascontiguousarray(ramp)).save(folder / f"{i}.png")
    pairs = FramePairs([folder], image_size=32)
    torch.manual_seed(0)
    frames = torch.stack([pairs[0]["frames"] for _ in range(60)]).float()
    assert frames.shape == (60, 2, 3, 32, 32)
    slopes = frames[:, :, 0, 16, 28] - frames[:, :, 0, 16, 4]
    mirrored = slopes < 0
    assert {tuple(row) for row in mirrored.tolist()} == {(a, b) for a in (False, True) for b in (False, True)}
    shares = slopes.abs() / (4 * 60 * 24 / 32)
    assert shares.min() > 0.35
    assert shares.max() <= 1.05
    assert (shares[:, 0] - shares[:, 1]).abs().max() > 0.2


def test_folders_of_frames_are_found_at_any_depth_in_natural_order(tmp_path):
    for name in ("b/video10", "b/video9", "a", "one frame"):
        write_frames(tmp_path / name, 1 if name == "one frame" else 2)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/readme.txt").write_text("")
    write_frames(tmp_path / ".hidden", 2)
    assert names(find_videos([tmp_path]), tmp_path) == ["a", "b/video9", "b/video10"]
    assert find_videos([tmp_path / "a"]) == [tmp_path / "a"]


def test_annotations_beside_frames_are_no_videos(tmp_path):
    for part in ("JPEGImages/480p", "Annotations/480p"):
        write_frames(tmp_path / f"DAVIS/{part}/bear", 2)
    write_frames(tmp_path / "youtube/JPEGImages/003234408d", 2, suffix="jpg")
    write_frames(tmp_path / "youtube/Annotations/003234408d", 2)
    found = names(find_videos([tmp_path]), tmp_path)
    assert found == ["DAVIS/JPEGImages/480p/bear", "youtube/JPEGImages/003234408d"]


def test_links_are_followed_and_a_video_counts_once(tmp_path):
    write_frames(tmp_path / "data/bear", 2)
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/bear").symlink_to(tmp_path / "data/bear")
    (tmp_path / "data/back").symlink_to(tmp_path)
    assert names(find_videos([tmp_path / "chosen"]), tmp_path) == ["chosen/bear"]
    assert len(find_videos([tmp_path, tmp_path / "data"])) == 1


def test_a_list_chooses_videos_and_names_those_that_are_missing(tmp_path, caplog):
    for name in ("bear", "boat"):
        write_frames(tmp_path / name, 2)
    assert names(find_videos([tmp_path], {"boat", "camel"}), tmp_path) == ["boat"]
    assert "1 videos of the list are missing or too short: camel" in caplog.text
    with pytest.raises(InputError, match="no video of the list"):
        find_videos([tmp_path], {"camel"})


def test_folders_without_videos_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist; check --videos"):
        find_videos([tmp_path / "nowhere"])
    write_frames(tmp_path, 1)
    with pytest.raises(InputError, match="no video: no such folder with at least 2 pictures"):
        find_videos([tmp_path])


def test_a_request_gives_the_same_pair_wherever_it_is_made(tmp_path):
    write_frames(tmp_path / "video", 9)
    data = StageData([Part(FramePairs([tmp_path / "video"], image_size=16), 3)])
    assert len(data) == 3
    request = SampleRequest(1, 77, 0, 1)
    first = data[request]
    torch.rand(5)
    again = data[request]
    assert torch.equal(first["frames"], again["frames"])
    assert any(not torch.equal(first["frames"], data[SampleRequest(1, seed, 0, 1)]["frames"]) for seed in range(5))


def test_an_unreadable_frame_is_replaced_and_named_in_the_batch(tmp_path):
    write_frames(tmp_path / "good", 3)
    write_frames(tmp_path / "bad", 2)
    for path in (tmp_path / "bad").iterdir():
        path.write_bytes(b"")
    data = StageData([Part(FramePairs(find_videos([tmp_path]), image_size=16))])
    batch = collate_pairs([data[SampleRequest(index, 5, 0, 1)] for index in range(2)])
    assert {Path(name).name for name in batch["name"]} == {"good"}
    assert any("cannot be read" in message for message in batch["rejected"])
    assert batch["frames"].shape == (2, 2, 3, 16, 16)


def test_batches_are_normalised_on_the_device():
    frames = torch.full((1, 2, 3, 16, 16), 255, dtype=torch.uint8)
    normalised = pairs_to_device({"frames": frames}, torch.device("cpu"))["frames"]
    assert normalised[0, 0, :, 0, 0].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, 0.594 / 0.225]
    )
