"""Samples, batches of them, and what a training step gets."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from datasets.train.clips import Unrendered, collate, pack_clip, to_device
from datasets.train.geometry import flip, sampling_matrix
from datasets.train.render import render_frame
from datasets.train.static_dataset import StaticDataset
from tests.helpers.pictures import (
    CANVAS,
    SIZE,
    as_clip,
    boxes,
    plain_view,
    smooth_picture,
    video_dataset,
    write_set,
    write_video,
)
from util.tensors import denormalise

CPU = torch.device("cpu")


def make_sample(frame, masks, render=True, **extra):
    """A clip of one plain view; masks (K,S,S) uint8."""
    views = [plain_view(len(frame))]
    return {**pack_clip([frame], views, masks[None], torch.ones(len(masks)), "x", render=render), **extra}


def planes(*rows):
    """Masks (K,4,4) uint8 all of whose rows are as given."""
    return torch.tensor(rows, dtype=torch.uint8).unsqueeze(1).repeat(1, 4, 1)


def grey(value=100):
    return np.full((4, 4, 3), value, np.uint8)


@pytest.fixture
def both_datasets(tmp_path):
    write_set(tmp_path / "flat")
    write_video(tmp_path, "one", [boxes(5)] * 4)
    write_video(tmp_path, "two", [boxes(3, 7)] * 6)

    def build(render):
        static = StaticDataset(tmp_path / "flat", image_size=CANVAS, render=render)
        return static, video_dataset(tmp_path, render=render)

    return build


@pytest.mark.parametrize("sources", [1, 2])
def test_a_packed_clip_holds_its_frames_in_order(sources):
    frames = [smooth_picture(SIZE, SIZE), 255 - smooth_picture(SIZE, SIZE)][:sources]
    views = [plain_view(SIZE), plain_view(SIZE, sampling_matrix(flip(SIZE)))]
    masks, selector = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), torch.ones(3)
    sample = pack_clip(frames, views, masks, selector, "clip", render=True)
    assert sample["frames"].dtype == torch.uint8
    assert torch.equal(sample["frames"], as_clip(frames[0], frames[-1][:, ::-1]))
    assert sample["masks"] is masks and sample["selector"] is selector and sample["name"] == "clip"


def test_an_unrendered_clip_holds_its_sources_and_what_becomes_of_them():
    frame, views = smooth_picture(SIZE, SIZE), [plain_view(SIZE), plain_view(SIZE, sampling_matrix(flip(SIZE)))]
    masks = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.uint8)
    clip = pack_clip([frame], views, masks, torch.ones(1), "clip", render=False)["frames"]
    assert isinstance(clip, Unrendered)
    assert torch.equal(clip.sources, as_clip(frame))
    assert torch.equal(clip.rendered(CPU), as_clip(*(render_frame(frame, view) for view in views)))


def test_frames_are_normalised_with_imagenet_statistics():
    frame = grey()
    frame[:] = (124, 116, 104)
    sample = make_sample(frame, planes([0] * 4))
    assert to_device(collate([sample]), CPU)["frames"].abs().max() < 0.01
    picture = smooth_picture(SIZE, SIZE)
    frames = to_device(collate([make_sample(picture, planes([0] * 4))]), CPU)["frames"]
    assert torch.equal(denormalise(frames)[0], as_clip(picture))


def test_a_later_object_covers_an_earlier_one():
    sample = make_sample(grey(), planes([255, 255, 255, 0], [0, 255, 255, 0], [0, 0, 255, 0]))
    assert to_device(collate([sample]), CPU)["labels"][0, 0, 0].tolist() == [1, 2, 3, 0]


def test_labels_begin_above_one_half():
    on_device = to_device(collate([make_sample(grey(), planes([0, 127, 128, 255]))]), CPU)
    assert on_device["labels"][0, 0, 0].tolist() == [0, 0, 1, 1]
    assert torch.allclose(on_device["masks"][0, 0, 0, 0], torch.tensor([0, 127, 128, 255]) / 255)


@pytest.mark.parametrize("render", [True, False])
def test_a_training_step_gets_float_frames_and_masks_and_integer_labels(both_datasets, render):
    static, videos = both_datasets(render)
    for dataset, objects in ((static, 1), (videos, 2)):
        on_device = to_device(collate([dataset[0], dataset[1]]), CPU)
        described = {key: (tuple(value.shape), value.dtype) for key, value in on_device.items()}
        assert described == {
            "frames": ((2, 3, 3, SIZE, SIZE), torch.float32),
            "masks": ((2, 3, objects, SIZE, SIZE), torch.float32),
            "labels": ((2, 3, SIZE, SIZE), torch.int64),
            "selector": ((2, objects), torch.float32),
        }


def test_what_was_rejected_is_put_together():
    first, second, third = (make_sample(grey(), planes([0] * 4), rejected=names) for names in (["a", "b"], [], ["c"]))
    assert collate([first, second, third])["rejected"] == ["a", "b", "c"]
    assert collate([make_sample(grey(), planes([0] * 4))])["rejected"] == []


def test_batches_keep_the_order_of_their_samples():
    values = (10, 60, 110)
    for render in (True, False):
        batch = collate([make_sample(grey(value), planes([value] * 4), render) for value in values])
        on_device = to_device(batch, CPU)
        assert denormalise(on_device["frames"])[:, 0, 0, 0, 0].tolist() == list(values)
        assert (on_device["masks"] * 255).round()[:, 0, 0, 0, 0].tolist() == list(values)


def test_a_batch_survives_its_way_to_the_device():
    batch = collate([make_sample(grey(), planes([0, 127, 128, 255]))])
    first, second = (to_device(batch, CPU) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("render", [True, False])
def test_samples_make_batches_in_loader_workers(both_datasets, render):
    for dataset, names in zip(both_datasets(render), (["flat/a", "flat/b"], ["one", "two"]), strict=True):
        batch = next(iter(DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=collate)))
        assert batch["name"] == names
        assert to_device(batch, CPU)["frames"].shape == (2, 3, 3, SIZE, SIZE)


def test_frames_rendered_on_the_device_are_close_to_those_rendered_before(both_datasets, tmp_path):
    for path in tmp_path.rglob("*.jpg"):
        Image.fromarray(smooth_picture(60, 80)).save(path)
    for before, later in zip(both_datasets(True), both_datasets(False), strict=True):
        for seed in range(6):
            first, second = (
                to_device(collate([(torch.manual_seed(seed), dataset[1])[1]]), CPU) for dataset in (before, later)
            )
            assert all(torch.equal(first[key], second[key]) for key in ("masks", "labels", "selector"))
            difference = (first["frames"] - second["frames"]).abs()
            assert 255 * 0.225 * difference.mean() < 0.5
