"""Objects cut out of pictures and videos and pasted into others."""

import numpy as np
import pytest
import torch

from datasets.train.clip_sampler import SampleRequest
from datasets.train.clips import Unrendered
from datasets.train.composites import STILL_MOTION as MOTION
from datasets.train.composites import Composites, Layer, cut_out, draw_path, match_blur, paste, place
from datasets.train.geometry import translation
from datasets.train.stages import ClipOptions, stage_data
from datasets.train.static_dataset import StaticDataset
from tests.helpers.pictures import boxes, same, video_dataset, write_pair, write_set, write_video
from util.errors import InputError

SHAPE = (60, 80)


def square(top=20, left=30, side=16, label=1):
    ids = np.zeros(SHAPE, np.uint8)
    ids[top : top + side, left : left + side] = label
    return ids


def painted(ids):
    return np.where(ids[..., None] > 0, np.array([250, 10, 10]), np.array([20, 90, 160])).astype(np.uint8)


def layer(label, x, y, *, behind=False, colour=200.0, side=20):
    patch = np.ones((side, side, 4), np.float32)
    patch[..., :3] = colour
    return Layer([patch], [translation(x, y)], label, behind)


@pytest.fixture
def davis(tmp_path):
    """Two videos whose object moves to the right, 4 pixels a frame, clear of the border."""
    for video in ("cow", "hen"):
        frames = [square(left=20 + 4 * i) for i in range(6)]
        write_video(tmp_path / "DAVIS/2017/trainval", f"480p/{video}", frames)
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2017/train.txt").write_text("cow\nhen\n")
    return tmp_path / "DAVIS"


@pytest.fixture
def roots(davis, tmp_path):
    write_set(tmp_path / "static/ecssd", ["p", "q"])
    none = tmp_path.joinpath("none").relative_to(tmp_path)
    return {"static_root": tmp_path / "static", "davis_root": davis, "yv_root": none, "bl_root": none}


def samples(data, count=12):
    return [data[SampleRequest(seed % len(data), seed, 0, 1)] for seed in range(count)]


def test_a_cut_out_is_opaque_within_its_object_and_holds_nothing_of_the_surroundings():
    ids = square()
    cutout = cut_out([painted(ids)], [ids], 1)
    (patch,) = cutout.patches
    assert patch.shape == (16, 16, 4) and patch[8, 8].tolist() == [250, 10, 10, 1]
    shown = patch[patch[..., 3] > 0]
    assert np.allclose(shown[:, :3] / shown[:, 3:], [250, 10, 10], atol=0.01)
    assert patch[0, 0, 3] < 0.5 < patch[2, 2, 3]


@pytest.mark.parametrize("ids", [square(left=0), square(left=64), square(top=0), square(top=44), square(side=3)])
def test_objects_at_the_border_and_tiny_ones_are_not_cut_out(ids):
    assert cut_out([painted(ids)], [ids], 1) is None
    middle = square()
    assert cut_out([painted(middle)] * 2, [middle, ids], 1) is None or ids.sum() == 9


def test_an_object_of_a_video_keeps_its_own_motion():
    ids = [square(left=10), square(left=20), square(left=40)]
    cutout = cut_out([painted(mask) for mask in ids], ids, 1)
    starts = [int(np.flatnonzero(patch[8, :, 3] > 0.5)[0]) for patch in cutout.patches]
    assert np.diff(starts).tolist() == [10, 20]


def test_pasted_objects_cover_what_lies_below_and_are_covered_by_what_lies_above():
    frame, ids = np.zeros((*SHAPE, 3), np.uint8), square(side=20, label=7)
    pictures, masks = paste([frame], [ids], [layer(1, 5, 20, colour=100.0), layer(2, 15, 20, colour=200.0)])
    assert [masks[0][30, x] for x in (10, 20, 40)] == [1, 2, 7]
    assert [pictures[0][30, x, 0] for x in (10, 20, 40)] == [100, 200, 0]
    assert ids[30, 32] == 7 and masks[0][30, 32] == 2


def test_an_object_behind_is_covered_by_the_objects_of_the_background():
    frame, ids = np.zeros((*SHAPE, 3), np.uint8), square(side=20, label=7)
    pictures, masks = paste([frame], [ids], [layer(1, 20, 20, behind=True)])
    assert masks[0][30, 25] == 1 and masks[0][30, 36] == 7
    assert pictures[0][30, 23, 0] == 200 and pictures[0][30, 38, 0] == 0


def test_a_look_alike_is_in_the_picture_and_not_in_the_mask():
    frame, ids = np.zeros((*SHAPE, 3), np.uint8), square(side=20, label=7)
    pictures, masks = paste([frame], [ids], [layer(0, 25, 20)])
    assert pictures[0][30, 40, 0] == 200 and masks[0][30, 40] == 0 and masks[0][30, 48] == 7


def test_objects_start_in_the_picture_leave_and_return():
    size, canvas = (10, 10), SHAPE
    ends, away = [], []
    for seed in range(60):
        torch.manual_seed(seed)
        centres = [(m @ [5, 5, 1])[:2] for m in draw_path(size, canvas, 5, MOTION)]
        assert 0 < centres[0][0] < 80 and 0 < centres[0][1] < 60
        inside = [-5 < x < 85 and -5 < y < 65 for x, y in centres]
        away.append(not all(inside))
        ends.append(not all(inside) and inside[-1])
    assert 0 < sum(ends) < sum(away) < 60


def test_pasted_objects_come_near_the_light_and_the_sharpness_of_their_background():
    torch.manual_seed(0)
    ids = square()
    cutout = cut_out([np.full((*SHAPE, 3), 240, np.uint8)], [ids], 1)
    dark = np.full((*SHAPE, 3), 30, np.uint8)
    means = []
    for _ in range(20):
        (patch,) = place(cutout, [dark], 1).patches
        means.append(patch[..., :3].sum() / patch[..., 3].sum() / 3)
        assert (patch[..., :3] <= 255 * patch[..., 3:] + 0.01).all()
    assert np.mean(means) < 200
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 1)).astype(np.float32)
    sharp = np.concatenate([np.repeat(noise, 3, 2), np.ones_like(noise)], 2)
    soft = np.tile((128 + 100 * np.sin(np.arange(80) / 6)).astype(np.uint8)[None, :, None], (60, 1, 3))
    assert match_blur([sharp], soft)[0][..., 0].std() < 0.5 * sharp[..., 0].std()
    assert np.array_equal(match_blur([sharp], noise.astype(np.uint8).repeat(3, 2))[0], sharp)


def test_stage_two_makes_the_share_of_composites_it_is_told(roots):
    data = stage_data(2, roots, ClipOptions(image_size=(64, 64)), composites=0.5)
    made = sum(sample["name"].startswith("composite on ") for sample in samples(data, 60))
    assert 18 < made < 42


def test_without_composites_the_samples_are_as_ever(roots):
    options = ClipOptions(image_size=(64, 64))
    plain, none = (stage_data(2, roots, options, **given) for given in ({}, {"composites": 0.0}))
    assert all(same(a, b) for a, b in zip(samples(plain), samples(none), strict=True))
    assert all(sample["name"] in ("cow", "hen") for sample in samples(none))


@pytest.mark.parametrize("stage", [0, 2])
def test_composites_teach_several_objects_of_videos_and_one_of_pictures_of_one(roots, stage):
    data = stage_data(stage, roots, ClipOptions(image_size=(64, 96), clip_length=4, num_objects=3), composites=1.0)
    planes = 1 if stage == 0 else 3
    taught = []
    for sample in samples(data):
        assert sample["frames"].shape == (4, 3, 64, 96) and sample["masks"].shape == (4, planes, 64, 96)
        assert set(sample["masks"].unique().tolist()) <= {0, 255}
        assert (sample["masks"].sum(1, dtype=torch.int) <= 255).all()
        shown = sample["masks"][0].flatten(1).any(1)
        assert torch.equal(shown, sample["selector"] > 0)
        taught.append(int(sample["selector"].sum()))
    assert max(taught) == planes and min(taught) >= 1


def test_a_request_gives_its_composite_whatever_was_asked_before(roots, davis):
    """Cut-outs come from videos whose frame skips follow the epoch of the request, not that of the one before."""
    first, second = (stage_data(2, roots, ClipOptions(image_size=(64, 64)), composites=1.0) for _ in range(2))
    for epoch in (0, 50, 99):
        second[SampleRequest(1, 3, epoch, 100)]
    for seed in range(6):
        assert same(first[SampleRequest(0, seed, 10, 100)], second[SampleRequest(0, seed, 10, 100)])
    assert not same(first[SampleRequest(0, 0, 10, 100)], first[SampleRequest(0, 1, 10, 100)])


def test_frames_can_be_made_on_the_device(roots):
    sample = samples(stage_data(0, roots, ClipOptions(image_size=(64, 64), render=False), composites=1.0), 1)[0]
    assert isinstance(sample["frames"], Unrendered) and sample["frames"].sources.shape[0] == 3


def test_pictures_are_cut_out_in_stages_of_videos_on_request(davis, roots, tmp_path):
    write_pair(tmp_path / "static/ecssd/p.jpg", tmp_path / "static/ecssd/p.png", boxes(255))
    for stills, kinds in ((False, 1), (True, 2)):
        data = stage_data(2, roots, ClipOptions(image_size=(64, 64)), composites=1.0, composite_stills=stills)
        assert len(data.composites.groups) == kinds


@pytest.mark.parametrize(("num_objects", "ids"), [(2, [0, 1, 2]), (1, [0, 1])])
def test_objects_of_a_mask_are_cut_out_one_by_one_unless_a_clip_teaches_one(tmp_path, num_objects, ids):
    write_pair(tmp_path / "people/a.jpg", tmp_path / "people/a.png", boxes(1, 2, 255))
    _, (found,) = StaticDataset(tmp_path / "people", num_objects=num_objects).read_clip(0)
    assert np.unique(found).tolist() == ids


def test_composites_of_stage_zero_teach_several_objects_where_masks_hold_several(roots, tmp_path):
    write_pair(tmp_path / "static/people/a.jpg", tmp_path / "static/people/a.png", boxes(1, 2))
    data = stage_data(0, roots, ClipOptions(image_size=(64, 64), num_objects=3), composites=0.5)
    assert {sample["masks"].shape[1] for sample in samples(data)} == {3}


def test_sets_without_anything_to_cut_out_say_so(tmp_path):
    write_video(tmp_path, "sea", [np.ones(SHAPE, np.uint8)] * 4)
    videos = video_dataset(tmp_path)
    with pytest.raises(InputError, match=r"no object could be cut out in 60 draws.*do without composites"):
        Composites([videos]).sample(videos, 0)
