"""Training pairs of a box tracker, against the published processing and sampling."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datasets.boxes.pairs import (
    BoxPairs,
    Draws,
    View,
    ViewDraws,
    box_pairs_to_device,
    collate_box_pairs,
    draw_causal,
    draw_looks,
    jitter,
    make_pair,
)
from datasets.boxes.tracks import open_tracks
from datasets.train.clip_sampler import SampleRequest
from tests.helpers.deterministic import FIXTURES, fixture, make_clip
from tests.helpers.pictures import boxes, write_pair
from util.errors import InputError

PUBLISHED = json.loads((FIXTURES / "droptrack_data.json").read_text())
ARRAYS = fixture("droptrack_data")
TEMPLATE, SEARCH = View(64, 2.0), View(128, 5.0, 4.5, 0.5)
STILL = ViewDraws((0.0, 0.0), (0.5, 0.5), 1.0, False)


@pytest.fixture(scope="module")
def frames():
    rgb, _ = make_clip(10, 180, 320)
    pixels = np.clip(np.round(128 + 48 * rgb.astype(np.float64)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("case", PUBLISHED["jitter"])
def test_a_jittered_box_is_where_it_was_published(case):
    view = TEMPLATE if case["mode"] == "template" else SEARCH
    draws = ViewDraws(tuple(case["randn"]), tuple(case["rand"]), 1.0, False)
    np.testing.assert_allclose(jitter(case["box"], view, draws), case["out"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", PUBLISHED["processing"], ids=lambda case: case["name"])
def test_a_pair_equals_the_published_one(frames, case):
    values = iter(value for _, value in case["draws"])
    grey, mirrored = next(values) < 0.05, next(values) < 0.5
    views = [ViewDraws(tuple(next(values)), tuple(next(values)), next(values), next(values) < 0.5) for _ in range(2)]
    pictures = [frames[case["template_frame"]], frames[case["search_frame"]]]
    given = [case["template_box"], case["search_box"]]
    sample = make_pair(pictures, given, Draws(grey, mirrored, *views), TEMPLATE, SEARCH)
    batch = box_pairs_to_device(collate_box_pairs([{**sample, "name": "a", "rejected": []}]), torch.device("cpu"))
    step = 1 / 255 / 0.224  # of a channel's value after normalisation
    for name in ("template", "search"):
        difference = (batch[name][0] - torch.from_numpy(ARRAYS[f"{case['name']}_{name}_images"])).abs()
        assert difference.max() < 1.3 * step and difference.mean() < 0.01 * step
        expected = torch.from_numpy(ARRAYS[f"{case['name']}_{name}_anno"])
        torch.testing.assert_close(batch[f"{name}_box"][0], expected, rtol=1e-5, atol=1e-6)


def test_gaps_of_the_causal_draw_reach_as_far_as_published():
    rng = np.random.default_rng(0)
    pairs = np.array([draw_causal(np.ones(1000, bool), 200, rng) for _ in range(4000)])
    gaps = pairs[:, 1] - pairs[:, 0]
    assert gaps.min() == 1 and gaps.max() == 199
    assert pairs[:, 0].min() < 5 and pairs[:, 0].max() > 990


def test_the_causal_draw_is_as_likely_as_published():
    case = PUBLISHED["sampler"]["two_islands"]
    visible = np.zeros(case["length"], bool)
    visible[case["visible"]] = True
    rng = np.random.default_rng(1)
    drawn = Counter(draw_causal(visible, 200, rng) for _ in range(case["draws"]))
    assert set(drawn) == {(first, second) for first, second, _ in case["pairs"]}
    for first, second, count in case["pairs"]:
        assert abs(drawn[first, second] - count) < 5 * np.sqrt(2 * count)


def test_the_largest_gap_grows_where_nothing_else_is_seen():
    visible = np.zeros(900, bool)
    visible[[10, 800]] = True
    assert draw_causal(visible, 200, np.random.default_rng(0)) == (10, 800)
    assert draw_causal(visible[:400], 200, np.random.default_rng(0)) is None


def test_validation_keeps_brightness_and_mirrors_no_view_by_itself():
    rng = np.random.default_rng(0)
    held = [draw_looks(rng, learning=False) for _ in range(50)]
    views = [view for draws in held for view in (draws.template, draws.search)]
    assert all(view.brightness == 1 and not view.mirrored for view in views)
    learnt = [draw_looks(rng, learning=True) for _ in range(400)]
    assert 0.02 < np.mean([draws.grey for draws in learnt]) < 0.1
    assert 0.4 < np.mean([draws.search.mirrored for draws in learnt]) < 0.6
    assert 0.8 < min(draws.search.brightness for draws in learnt) < 0.82


def test_mirroring_moves_the_box_with_the_picture():
    frame = np.zeros((100, 160, 3), np.uint8)
    frame[40:60, 30:70] = 200
    for draws in (Draws(False, True, STILL, STILL), Draws(False, False, STILL._replace(mirrored=True), STILL)):
        sample = make_pair([frame, frame], [(30, 40, 40, 20)] * 2, draws, TEMPLATE, SEARCH)
        for name in ("template", "search"):
            seen = cv2.boundingRect((sample[name].amax(0) > 100).to(torch.uint8).numpy())
            expected = sample[f"{name}_box"] * sample[name].shape[-1]
            np.testing.assert_allclose(seen, expected, atol=2.1)


def test_a_search_region_that_shows_nothing_is_refused():
    frame = np.full((100, 160, 3), 90, np.uint8)
    draws = Draws(False, False, STILL, STILL)
    for box in ((500, 20, 9, 9), (20, 20, 0, 9)):
        assert make_pair([frame] * 2, [(20, 20, 9, 9), box], draws, TEMPLATE, SEARCH) is None


@pytest.fixture
def tree(tmp_path):
    for video, number in ((v, i) for v in ("ball", "cube") for i in range(6)):
        name = f"{video}/{number:05}"
        write_pair(tmp_path / f"JPEGImages/{name}.jpg", tmp_path / f"Annotations/{name}.png", boxes(1, 2))
    return tmp_path


def pairs_of(tree, **options):
    tracks = [open_tracks("MASKS", tree)]
    return BoxPairs(tracks, [1], 10, **{"template": TEMPLATE, "search": SEARCH, "least_frames": 5, **options})


def test_a_request_gives_the_same_pair_wherever_it_is_made(tree):
    one, other = pairs_of(tree), pairs_of(tree)
    for seed in range(3, 6):
        first = one[SampleRequest(0, seed, 0, 1)]
        second = other[SampleRequest(9, seed, 4, 9)]
        assert first["name"] == second["name"]
        assert all(torch.equal(first[key], second[key]) for key in first if isinstance(first[key], torch.Tensor))
    assert len({one[SampleRequest(0, seed, 0, 1)]["name"] for seed in range(20)}) == 4


def test_an_unreadable_frame_is_named_and_another_one_taken(tree):
    for path in Path(tree / "JPEGImages/ball").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    samples = [pairs_of(tree)[SampleRequest(0, seed, 0, 1)] for seed in range(8)]
    assert all(sample["name"].startswith("cube") for sample in samples)
    messages = [message for sample in samples for message in sample["rejected"]]
    assert messages and all("JPEGImages/ball" in message and "cannot be read" in message for message in messages)


def test_videos_that_are_too_short_are_named_by_the_options_that_refuse_them(tree):
    with pytest.raises(InputError, match=r"at least 20 frames .* lower --least_frames and --least_visible"):
        pairs_of(tree, least_frames=20)[SampleRequest(0, 0, 0, 1)]
