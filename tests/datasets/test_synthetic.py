"""Made clips."""

import numpy as np
import pytest

from datasets.synthetic.clips import SyntheticClip, iterate_clip, make_clip
from util.errors import InputError

pytestmark = pytest.mark.slow

SIZE = (96, 160)
PLAIN = {"light": 0.0, "blur": 0.0, "noise": 0.0}
SEEDS = range(6)


def visible(ids, label):
    return (ids == label).any(axis=(1, 2))


def same_bytes(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_same_seed_gives_the_same_bytes():
    assert same_bytes(make_clip(5, 4, *SIZE, 2), make_clip(5, 4, *SIZE, 2))


def test_different_seeds_give_different_clips():
    (rgb, ids), (other_rgb, other_ids) = make_clip(5, 2, *SIZE, 2), make_clip(6, 2, *SIZE, 2)
    assert (rgb != other_rgb).mean() > 0.5
    assert (ids != other_ids).any()


def test_a_clip_has_rgb_frames_and_the_requested_ids():
    rgb, ids = make_clip(0, 3, *SIZE, 4)
    assert rgb.shape == (3, *SIZE, 3) and ids.shape == (3, *SIZE)
    assert rgb.dtype == ids.dtype == np.uint8
    assert set(np.unique(ids)) == {0, 1, 2, 3, 4}


def test_streaming_equals_the_whole_clip():
    rgb, ids = make_clip(2, 5, *SIZE, 3)
    for number, frame in enumerate(iterate_clip(2, 5, *SIZE, 3)):
        assert same_bytes(frame, (rgb[number], ids[number]))


def test_streaming_a_very_long_clip_starts_at_once():
    stream = iterate_clip(2, 10**9, *SIZE, 3)
    assert same_bytes(next(stream), SyntheticClip(2, *SIZE, 3).frame(0))


def test_a_longer_clip_starts_with_the_frames_of_a_shorter_one():
    long, short = make_clip(3, 7, *SIZE, 2), make_clip(3, 3, *SIZE, 2)
    assert same_bytes((long[0][:3], long[1][:3]), short)


@pytest.mark.parametrize("objects", [1, 3, 10, 60])
def test_every_object_is_visible_in_the_first_frame(objects):
    for seed in SEEDS:
        ids = SyntheticClip(seed, *SIZE, objects).frame(0)[1]
        assert set(np.unique(ids)) - {0} == set(range(1, objects + 1))


def test_255_objects_have_255_ids():
    ids = SyntheticClip(0, 128, 200, 255).frame(0)[1]
    assert len(np.unique(ids)) == 256


def test_late_objects_are_absent_before_their_first_frame_and_visible_in_it():
    firsts = (0, 5, 12)
    for seed in SEEDS:
        _, ids = make_clip(seed, 13, *SIZE, 3, first_frames=firsts)
        for label, first in enumerate(firsts, start=1):
            assert not visible(ids[:first], label).any()
            assert visible(ids, label)[first]


def test_few_objects_have_a_useful_size():
    shares = [(SyntheticClip(seed, *SIZE, 2).frame(0)[1] == label).mean() for seed in range(10) for label in (1, 2)]
    assert min(shares) > 0.01 and max(shares) < 0.35
    assert 0.04 < np.mean(shares) < 0.2


def test_copying_the_first_mask_to_every_frame_scores_badly():
    overlaps = []
    for seed in SEEDS:
        _, ids = make_clip(seed, 30, *SIZE, 2)
        for label in (1, 2):
            masks = ids == label
            union = (masks | masks[0]).sum(axis=(1, 2))
            overlaps.append(((masks & masks[0]).sum(axis=(1, 2)) / union).mean())
    assert np.mean(overlaps) < 0.35


def test_objects_move_moderately_from_frame_to_frame():
    steps = []
    for seed in SEEDS:
        _, ids = make_clip(seed, 20, *SIZE, 1, clutter=0, leaving=0.0)
        centres = [np.argwhere(frame).mean(axis=0) for frame in ids if frame.any()]
        steps.append(np.linalg.norm(np.diff(centres, axis=0), axis=1).mean() / SIZE[1])
    assert 0.01 < np.mean(steps) < 0.05


def test_speed_scales_the_motion():
    def clip_at(speed):
        return SyntheticClip(4, *SIZE, 2, speed=speed, noise=0.0)

    assert same_bytes(clip_at(2.0).frame(3), clip_at(1.0).frame(6))
    assert same_bytes(clip_at(0.0).frame(9), clip_at(0.0).frame(0))


def test_an_object_leaves_the_frame_and_returns():
    _, ids = make_clip(1, 60, *SIZE, 3, leaving=1.0)
    histories = ["".join("x" if seen else "." for seen in visible(ids, label)) for label in (1, 2, 3)]
    assert any("x..." in history and "x" in history.split("x...", 1)[1] for history in histories)


def test_the_mask_is_exactly_where_the_object_is_painted():
    clip = SyntheticClip(7, *SIZE, 5, **PLAIN)
    clip.background = np.zeros_like(clip.background)
    clip.textures = [np.full_like(t, b.label) for t, b in zip(clip.textures, clip.bodies, strict=True)]
    for number in (0, 10, 25):
        rgb, ids = clip.frame(number)
        assert (rgb == ids[..., None]).all()


def test_repainting_an_object_changes_the_pixels_of_its_mask_only():
    clip = SyntheticClip(8, *SIZE, 3, **PLAIN)
    index = next(i for i, body in enumerate(clip.bodies) if body.label == 2)
    pictures = []
    for colour in (0, 255):
        clip.textures[index] = np.full_like(clip.textures[index], colour)
        pictures.append(clip.frame(4)[0])
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert np.array_equal(changed, clip.frame(4)[1] == 2)


def test_light_blur_and_noise_change_the_picture_but_not_the_mask():
    rgb, ids = SyntheticClip(3, *SIZE, 2, **PLAIN).frame(6)
    for effect in PLAIN:
        changed_rgb, same_ids = SyntheticClip(3, *SIZE, 2, **{**PLAIN, effect: 1.0}).frame(6)
        assert (changed_rgb != rgb).any()
        assert np.array_equal(same_ids, ids)


def test_nearer_bodies_hide_farther_ones():
    hidden = 0
    for seed in SEEDS:
        clip = SyntheticClip(seed, *SIZE, 2)
        together = clip.frame(12)[1]
        alone = SyntheticClip(seed, *SIZE, 2)
        farthest = next(i for i, body in enumerate(alone.bodies) if body.label)
        label = alone.bodies[farthest].label
        alone.bodies, alone.textures = [alone.bodies[farthest]], [alone.textures[farthest]]
        whole = alone.frame(12)[1] == label
        assert not ((together == label) & ~whole).any()
        hidden += (whole & (together != label)).any()
    assert hidden > 0


def test_objects_deform_and_do_not_only_shift():
    clip = SyntheticClip(0, *SIZE, 1, clutter=0, leaving=0.0, camera=0.0)
    areas = [int((clip.frame(number)[1] == 1).sum()) for number in range(6)]
    assert len(set(areas)) > 1


@pytest.mark.parametrize("size", [(33, 47), (75, 201), (200, 61)])
def test_sizes_need_not_be_multiples_of_16(size):
    rgb, ids = make_clip(0, 2, *size, 2)
    assert rgb.shape == (2, *size, 3)
    assert set(np.unique(ids[0])) == {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        ((0, 0, *SIZE, 1), {}, "0 frames"),
        ((0, 3, *SIZE, 0), {}, "not 0"),
        ((0, 3, *SIZE, 256), {}, "not 256"),
        ((0, 3, 8, 160, 1), {}, "too small"),
        ((0, 3, 40, 40, 100), {}, "do not fit"),
        ((-1, 3, *SIZE, 1), {}, "negative"),
        ((0, 3, *SIZE, 2), {"first_frames": (0,)}, "first_frames"),
        ((0, 3, *SIZE, 2), {"first_frames": (0, -4)}, "first_frames"),
        ((0, 3, *SIZE, 2), {"speed": float("nan")}, "speed"),
        ((0, 3, *SIZE, 2), {"clutter": -1}, "clutter"),
    ],
)
def test_unusable_arguments_are_named(arguments, options, complaint):
    with pytest.raises(InputError, match=complaint):
        iterate_clip(*arguments, **options)
