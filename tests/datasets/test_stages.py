"""The training data of each stage: sets, repeats, skips, and files that cannot be read."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datasets.train.clip_sampler import ClipSampler, SampleRequest
from datasets.train.clips import Unrendered, collate
from datasets.train.stages import ClipOptions, stage_data
from datasets.train.static_dataset import StaticDataset
from tests.helpers.pictures import (
    boxes,
    frame_numbers,
    longest_step,
    same,
    write_numbered_video,
    write_set,
    write_video,
)
from util.errors import InputError

pytestmark = pytest.mark.slow

NONE = Path("none")
FRAMES = 30
STM_CYCLE = {"arch": "stm_cycle", "skip_growth": 5, "clip_draw": "stm_cycle", "augmentation": "stm_cycle"}


@pytest.fixture
def roots(tmp_path):
    davis, youtube, bl30k, static = (tmp_path / name for name in ("DAVIS", "YouTube", "BL30K", "static"))
    write_numbered_video(davis / "2017/trainval", "480p/cow", FRAMES)
    (davis / "2017/trainval/ImageSets/2017").mkdir(parents=True)
    (davis / "2017/trainval/ImageSets/2017/train.txt").write_text("cow\n")
    for name in ("a", "b"):
        write_numbered_video(youtube / "train_480p", name, FRAMES)
    write_video(bl30k, "x", [boxes(1)] * 4)
    write_set(static / "ecssd", ["p", "q", "r"])
    write_set(static / "BIG_small", ["s"])
    return {"static_root": static, "bl_root": bl30k, "davis_root": davis, "yv_root": youtube}


def names(data):
    return [data[SampleRequest(i, 0, 0, 100)]["name"] for i in range(len(data))]


def steps_at(data, index, epoch):
    return longest_step(data[SampleRequest(index, seed, epoch, 100)] for seed in range(40))


def test_stage_zero_repeats_the_small_sets_five_times(roots):
    data = stage_data(0, roots, ClipOptions(image_size=(16, 16)))
    assert names(data) == ["BIG_small/s"] * 5 + ["ecssd/p", "ecssd/q", "ecssd/r"]


def test_stage_one_reads_bl30k(roots):
    data = stage_data(1, roots, ClipOptions(image_size=(32, 32)))
    assert names(data) == ["x"]
    assert data[SampleRequest(0, 0, 0, 1)]["frames"].shape == (3, 3, 32, 32)


def test_stage_two_repeats_davis_five_times_beside_youtube(roots):
    assert names(stage_data(2, roots, ClipOptions(image_size=(16, 16)))) == ["cow"] * 5 + ["a", "b"]


def test_either_set_of_stage_two_can_be_left_out(roots):
    assert len(stage_data(2, {**roots, "yv_root": NONE})) == 5
    assert len(stage_data(2, {**roots, "davis_root": NONE})) == 2
    with pytest.raises(InputError, match="without data"):
        stage_data(2, {**roots, "yv_root": NONE, "davis_root": NONE})


def test_a_list_chooses_the_youtube_videos(roots, tmp_path):
    chosen = tmp_path / "list.txt"
    chosen.write_text("b\n")
    only = {**roots, "davis_root": NONE}
    assert names(stage_data(2, only, ClipOptions(image_size=(16, 16)), lists={"yv_list": chosen})) == ["b"]
    with pytest.raises(InputError, match="nowhere"):
        stage_data(2, roots, lists={"yv_list": tmp_path / "nowhere.txt"})


def test_a_list_chooses_among_the_davis_train_videos(roots, tmp_path):
    only = {**roots, "yv_root": NONE}
    last = max(stage_data(2, only).videos)
    chosen = tmp_path / "list.txt"
    chosen.write_text(f"{last}\n")
    assert stage_data(2, only, lists={"davis_list": chosen}).videos == {last}
    chosen.write_text("unknown\n")
    with pytest.raises(InputError, match=r"video unknown is not in .*train\.txt"):
        stage_data(2, only, lists={"davis_list": chosen})


@pytest.mark.parametrize(("epoch", "davis", "youtube"), [(0, 5, 1), (10, 10, 2), (40, 10, 5), (95, 1, 1)])
def test_skips_follow_the_schedule_of_each_set(roots, epoch, davis, youtube):
    data = stage_data(2, roots, ClipOptions(image_size=(16, 16), render=False))
    assert steps_at(data, 6, epoch) == youtube
    assert steps_at(data, 0, epoch) == davis


def test_the_skips_can_be_limited_in_frames_of_the_video(roots):
    data = stage_data(2, roots, ClipOptions(image_size=(16, 16), render=False, max_skip=7))
    assert [steps_at(data, 0, epoch) for epoch in (0, 40)] == [5, 7]
    assert [steps_at(data, 6, epoch) for epoch in (0, 40)] == [1, 1]


@pytest.mark.parametrize(("epoch", "davis", "youtube"), [(0, 5, 3), (4, 5, 3), (5, 10, 4), (10, 15, 5)])
def test_skips_of_stm_cycle_grow_whatever_the_number_of_epochs(roots, epoch, davis, youtube):
    """Its draw makes the longest step the rarer the longer it is."""
    data = stage_data(2, roots, ClipOptions(**STM_CYCLE, image_size=(16, 16), render=False))
    for index, longest in ((0, davis), (6, youtube)):
        for epochs in (11, 240):
            requests = [SampleRequest(index, seed, epoch, epochs) for seed in range(100)]
            assert longest - 1 <= longest_step(data[request] for request in requests) <= longest
    limited = stage_data(2, roots, ClipOptions(**STM_CYCLE, image_size=(16, 16), render=False, max_skip=10))
    assert steps_at(limited, 0, epoch) <= min(davis, 10)
    assert steps_at(limited, 6, epoch) == min(youtube, 2)


def test_growing_skips_begin_where_they_are_told(roots):
    data = stage_data(2, roots, ClipOptions(**{**STM_CYCLE, "skip_start": (2, 1)}, image_size=(16, 16), render=False))
    assert [steps_at(data, index, 0) for index in (0, 6)] == [2, 1]


def test_clips_of_stm_cycle_run_forward_and_others_both_ways(roots):
    for draw, both_ways in (("stm_cycle", False), ("mivos", True)):
        data = stage_data(2, roots, ClipOptions(clip_draw=draw, image_size=(16, 16), render=False))
        clips = [frame_numbers(data[SampleRequest(0, seed, 0, 1)]) for seed in range(20)]
        assert any(clip[0] > clip[2] for clip in clips) == both_ways


def test_frames_of_stm_cycle_share_their_view(roots):
    for augmentation, alike in (("stm_cycle", True), ("mivos", False)):
        data = stage_data(2, roots, ClipOptions(augmentation=augmentation, image_size=(16, 28), render=False))
        first, second, _ = data[SampleRequest(0, 1, 0, 1)]["frames"].plan.matrices
        assert torch.equal(first, second) == alike


@pytest.mark.parametrize(("stage", "least"), [(1, 0.25), (2, 0.36)])
def test_crops_of_bl30k_are_smaller(roots, stage, least):
    data = stage_data(stage, roots, ClipOptions(image_size=(16, 16), render=False))
    shares = []
    for seed in range(60):
        matrix = data[SampleRequest(0, seed, 0, 1)]["frames"].plan.matrices[0]  # to the source, of area 2 * 2
        shares.append(abs(np.linalg.det(matrix[:, :2])) * 16**2 / 4)
    assert 0.8 * least < min(shares) < 1.2 * least


def test_more_samples_of_each_video_make_an_epoch_longer(roots):
    data = stage_data(2, roots, ClipOptions(samples_per_video=2, image_size=(16, 16)))
    assert names(data) == ["cow"] * 10 + ["a", "b"] * 2
    assert len(stage_data(1, roots, ClipOptions(samples_per_video=3))) == 3
    assert len(stage_data(0, roots, ClipOptions(samples_per_video=3))) == len(stage_data(0, roots))
    assert not same(data[SampleRequest(0, 1, 0, 1)], data[SampleRequest(1, 2, 0, 1)])


def test_frames_repeat_on_request(roots, tmp_path):
    write_numbered_video(tmp_path / "short/2017/trainval", "480p/calf", 4)
    short = {**roots, "davis_root": tmp_path / "short", "yv_root": NONE}
    for repeat in (False, True):
        data = stage_data(2, short, ClipOptions(image_size=(16, 16), render=False, repeat_frames=repeat))
        clips = [frame_numbers(data[SampleRequest(0, seed, 0, 1)]) for seed in range(40)]
        assert any(len(set(clip)) < 3 for clip in clips) == repeat


@pytest.mark.parametrize("family", [{}, {"augmentation": "stm_cycle"}], ids=["mivos", "stm_cycle"])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_options_reach_the_samples(roots, stage, family):
    options = ClipOptions(**family, image_size=(24, 40), clip_length=4, num_objects=3)
    sample = stage_data(stage, roots, options)[SampleRequest(0, 0, 0, 1)]
    assert sample["frames"].shape == (4, 3, 24, 40)
    assert sample["masks"].shape == (4, 1 if stage == 0 else 3, 24, 40)
    unrendered = stage_data(stage, roots, replace(options, render=False))[SampleRequest(0, 0, 0, 1)]
    assert isinstance(unrendered["frames"], Unrendered)


def test_soft_masks_are_made_on_request(roots):
    for soft in (False, True):
        data = stage_data(0, roots, ClipOptions(image_size=(24, 24), soft_masks=soft))
        masks = data[SampleRequest(0, 0, 0, 1)]["masks"]
        assert (len(masks.unique()) > 2) == soft


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_request_gives_its_sample_whatever_the_random_state(roots, stage):
    data = stage_data(stage, roots, ClipOptions(image_size=(24, 24)))
    samples = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        samples.append(data[SampleRequest(0, 77, 30, 100)])
        data[SampleRequest(len(data) - 1, 5, 60, 100)]
    assert same(*samples)
    assert not same(samples[0], data[SampleRequest(0, 78, 30, 100)])


def test_the_random_state_is_left_as_it_was(roots):
    data = stage_data(0, roots, ClipOptions(image_size=(24, 24)))
    before = torch.get_rng_state()
    data[SampleRequest(0, 77, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    for path in roots["static_root"].rglob("*.jpg"):
        path.write_bytes(b"broken")
    with pytest.raises(InputError):
        data[SampleRequest(0, 77, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_make_the_same_batches_over_epochs(roots, workers):
    data = stage_data(2, roots, ClipOptions(image_size=(16, 16)))
    sampler = ClipSampler(len(data), total_batch=2, iterations=12, seed=4)
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=collate, num_workers=workers)
    for requests, batch in zip(sampler, loader, strict=True):
        expected = collate([data[request] for request in requests])
        assert batch["name"] == expected["name"] and same(batch, expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_unreadable_sample_is_replaced_and_named(roots, suffix):
    broken = roots["static_root"] / f"ecssd/q{suffix}"
    broken.write_bytes(broken.read_bytes()[:100])
    data = stage_data(0, roots, ClipOptions(image_size=(24, 24)))
    for seed in range(8):
        sample = data[SampleRequest(6, seed, 0, 1)]
        assert sample["name"] in {"BIG_small/s", "ecssd/p", "ecssd/r"}
        assert sample["rejected"] and all(str(broken) in message for message in sample["rejected"])
    assert same(data[SampleRequest(6, 3, 0, 1)], data[SampleRequest(6, 3, 0, 1)])
    assert data[SampleRequest(5, 0, 0, 1)]["rejected"] == []


def test_replacements_are_taken_from_everywhere(roots):
    (roots["static_root"] / "ecssd/q.jpg").write_bytes(b"broken")
    data = stage_data(0, roots, ClipOptions(image_size=(16, 16)))
    assert {data[SampleRequest(6, seed, 0, 1)]["name"] for seed in range(30)} == {"BIG_small/s", "ecssd/p", "ecssd/r"}


def test_rejected_files_are_listed_in_the_batch(roots):
    (roots["static_root"] / "ecssd/q.jpg").write_bytes(b"broken")
    data = stage_data(0, roots, ClipOptions(image_size=(16, 16)))
    batch = collate([data[SampleRequest(index, 0, 0, 1)] for index in (5, 6, 7)])
    assert batch["rejected"] and all("q.jpg" in message for message in batch["rejected"])


@pytest.mark.parametrize("failures", [9, 10])
def test_ten_unreadable_samples_in_a_row_are_an_input_error(roots, monkeypatch, failures):
    data = stage_data(0, roots, ClipOptions(image_size=(16, 16)))
    answers = iter([InputError(f"file {i} cannot be read") for i in range(failures)] + [{"name": "good"}])

    def answer(*_):
        if isinstance(next_answer := next(answers), InputError):
            raise next_answer
        return next_answer

    monkeypatch.setattr(StaticDataset, "__getitem__", answer)
    if failures == 10:
        with pytest.raises(InputError, match="file 9 cannot be read"):
            data[SampleRequest(0, 0, 0, 1)]
    else:
        rejected = [f"file {i} cannot be read" for i in range(failures)]
        assert data[SampleRequest(0, 0, 0, 1)] == {"name": "good", "rejected": rejected}
