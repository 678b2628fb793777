"""Made clips and the folder trees that hold them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import synthetic_trees
from datasets.synthetic import SyntheticClip, iterate_clip, make_clip
from scripts import make_synthetic
from util.errors import InputError
from util.images import read_frame, read_ids

SIZE = (96, 160)
PLAIN = {"light": 0.0, "blur": 0.0, "noise": 0.0}
SEEDS = range(6)


def make_tree(monkeypatch, output, layout, *arguments):
    words = ["make_synthetic", "--output", output, "--layout", layout, "--size", *SIZE, "--workers", 1, *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    make_synthetic.main()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def numbered(count, suffix, step=1):
    return [f"{number:05d}{suffix}" for number in range(0, count, step)]


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


def test_davis_tree_holds_frames_masks_and_lists(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "davis", "--videos", 2, "--val", 1, "--frames", 3, "--objects", 2)
    root = tmp_path / "2017/trainval"
    assert (root / "ImageSets/2017/train.txt").read_text().split() == ["train00000", "train00001"]
    for year in ("2016", "2017"):
        assert (root / f"ImageSets/{year}/val.txt").read_text().split() == ["val00000"]
    for video in ("train00000", "train00001", "val00000"):
        for tree in (root, tmp_path / "2016"):
            assert names(tree / "JPEGImages/480p" / video) == numbered(3, ".jpg")
            assert names(tree / "Annotations/480p" / video) == numbered(3, ".png")
        ids = read_ids(root / "Annotations/480p" / video / "00000.png")
        assert set(np.unique(ids)) == {0, 1, 2}
        merged = read_ids(tmp_path / "2016/Annotations/480p" / video / "00000.png")
        assert np.array_equal(merged, np.where(ids > 0, 255, 0))
        assert read_frame(root / "JPEGImages/480p" / video / "00000.jpg").shape == (*SIZE, 3)


def test_youtube_tree_annotates_objects_when_they_appear(monkeypatch, tmp_path):
    options = ("--videos", 1, "--val", 2, "--frames", 20, "--objects", 3, "--late", 0.9)
    make_tree(monkeypatch, tmp_path, "youtube", *options)
    for kind, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".png")):
        assert names(tmp_path / "train_480p" / kind / "train00000") == numbered(20, suffix, 5)
    videos = json.loads((tmp_path / "valid/meta.json").read_text())["videos"]
    assert sorted(videos) == ["val00000", "val00001"]
    for video, description in videos.items():
        assert names(tmp_path / "valid/JPEGImages" / video) == numbered(20, ".jpg", 5)
        assert names(tmp_path / "all_frames/valid_all_frames/JPEGImages" / video) == numbered(20, ".jpg")
        masks = sorted((tmp_path / "valid/Annotations" / video).iterdir())
        seen = {}
        for mask in masks:
            for label in set(np.unique(read_ids(mask))) - {0}:
                seen.setdefault(str(label), mask.stem)
        assert seen == {label: entry["frames"][0] for label, entry in description["objects"].items()}
        assert {mask.stem for mask in masks} == set(seen.values())
        assert len(masks) > 1


def test_bl30k_tree_has_a_mask_for_each_frame(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 2)
    assert names(tmp_path) == ["Annotations", "JPEGImages"]
    assert names(tmp_path / "JPEGImages/train00000") == numbered(2, ".jpg")
    assert names(tmp_path / "Annotations/train00000") == numbered(2, ".png")


def test_static_tree_has_a_grey_mask_beside_each_picture_in_every_set(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "static", "--videos", 7)
    pictures = sorted(tmp_path.rglob("*.jpg"))
    assert len(pictures) == 7
    assert {p.relative_to(tmp_path).parts[0] for p in pictures} == set(synthetic_trees.STATIC_SETS)
    assert names(tmp_path / "fss/class0000") == ["1.jpg", "1.png", "2.jpg", "2.png"]
    for picture in pictures:
        mask = Image.open(picture.with_suffix(".png"))
        assert mask.mode == "L"
        assert set(np.unique(np.array(mask))) == {0, 255}


def test_written_masks_are_those_of_the_clip(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 2, "--objects", 2, "--seed", 3)
    _, ids = make_clip(2 * 3 * make_synthetic.SEEDS_PER_TREE, 2, *SIZE, 2)
    written = [read_ids(tmp_path / "Annotations/train00000" / name) for name in numbered(2, ".png")]
    assert np.array_equal(np.stack(written), ids)


def test_workers_write_the_same_tree_as_one_process(monkeypatch, tmp_path):
    options = ["--videos", "2", "--frames", "2", "--size", *map(str, SIZE)]
    make_tree(monkeypatch, tmp_path / "one", "bl30k", *options)
    script = Path(make_synthetic.__file__)
    command = [sys.executable, str(script), "--output", str(tmp_path / "two"), "--layout", "bl30k", *options]
    done = subprocess.run([*command, "--workers", "2"], cwd=script.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 8
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_training_and_validation_videos_show_different_things(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "davis", "--videos", 3, "--val", 3, "--frames", 1)
    pictures = [path.read_bytes() for path in (tmp_path / "2017/trainval/JPEGImages").rglob("*.jpg")]
    assert len(pictures) == len(set(pictures)) == 6


def test_a_folder_that_holds_files_is_refused_unless_overwriting_is_asked_for(monkeypatch, tmp_path):
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 3)
    with pytest.raises(InputError, match="not empty"):
        make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 1)
    make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 1, "--overwrite")
    assert names(tmp_path / "JPEGImages/train00000") == numbered(1, ".jpg")


def test_an_interrupted_video_leaves_nothing_behind(monkeypatch, tmp_path):
    def interrupted(path, ids):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_trees, "write_ids", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_tree(monkeypatch, tmp_path, "bl30k", "--videos", 1, "--frames", 3)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("layout", "arguments", "complaint"),
    [
        ("bl30k", ("--val", 2), "no validation"),
        ("davis", ("--videos", 0, "--val", 0), "not both 0"),
        ("davis", ("--frames", 0), "--frames"),
        ("davis", ("--objects", 3, 1), "--objects"),
        ("davis", ("--objects", 300), "255 objects"),
        ("youtube", ("--late", 2), "--late"),
    ],
)
def test_unusable_options_are_named(monkeypatch, tmp_path, layout, arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        make_tree(monkeypatch, tmp_path, layout, *arguments)
