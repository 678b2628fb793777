"""Masks that are given amidst a stream: corrections, new objects, and what is refused."""

from dataclasses import replace

import pytest
import torch

from inference_core_yv import InferenceCoreYV
from model.layers.decoder import soft_aggregate
from model.memory.options import YOUTUBE_MEMORY
from tests.helpers.streams import WIDTH, assert_distributions, assert_same, banks, clip, run, small_network

EAGER = replace(YOUTUBE_MEMORY, mem_every=1, quality_threshold=0.0)


@pytest.fixture(scope="module")
def network():
    return small_network()


def test_a_mask_of_a_known_object_corrects_it_while_others_go_on(network):
    frames, masks = clip(7, 3)
    given = {0: (masks[0], [4, 5, 6])}
    plain, _ = run(InferenceCoreYV(network, replace(EAGER, capacity=1)), frames, given)
    correction = masks[3, 1:2].flip(2)
    ours, reports = run(InferenceCoreYV(network, replace(EAGER, capacity=1)), frames, given | {3: (correction, [5])})
    assert_same(ours[:3], plain[:3])
    assert_distributions(ours, [3] * 7)
    torch.testing.assert_close(ours[3][2], correction[0], atol=1e-5, rtol=0)
    outside = correction[0] == 0
    for row in (1, 3):
        assert ours[3][row][outside].max() > 0.5
    assert not torch.allclose(ours[4][2], plain[4][2], atol=1e-3)
    assert [[bank.objects for bank in report.banks] for report in reports] == [[(4, 5, 6)]] * 3 + [
        [(4,), (5,), (6,)]
    ] * 4
    assert {k: bank.stored for k, bank in banks(reports[3]).items()} == {4: "dynamic", 5: "permanent", 6: "dynamic"}
    assert banks(reports[-1])[5].memory_frames == (0, 3, 6)
    assert banks(reports[-1])[4].memory_frames == banks(reports[-1])[6].memory_frames == (0, 6)


def test_a_given_mask_wins_its_pixels_against_predicted_objects(network):
    frames, masks = clip(4)
    plain, _ = run(InferenceCoreYV(network), frames, {0: (masks[0, :1],)})
    won = (plain[3][1] > 0.5).float()
    won[:, WIDTH // 4 :] = 0
    assert 0 < won.sum() < (plain[3][1] > 0.5).sum()
    ours, _ = run(InferenceCoreYV(network), frames, {0: (masks[0, :1],), 3: (won[None], [2])})
    assert (ours[3][2][won == 1] > 0.999).all() and (ours[3][1][won == 1] < 0.001).all()
    torch.testing.assert_close(ours[3][:2, won == 0], plain[3][:, won == 0], atol=1e-5, rtol=0)
    assert (ours[3][2][won == 0] < 0.001).all()


def test_where_a_given_mask_is_soft_predicted_objects_keep_the_rest(network):
    frames, masks = clip(2)
    soft = 0.7 * masks[1, 1:]
    core, other = InferenceCoreYV(network), InferenceCoreYV(network)
    for each in (core, other):
        each.step(frames[0], masks[0, :1])
    predicted = other.predict(frames[1])[0]
    assert predicted[:, soft[0] > 0].max() > 0.1
    expected = soft_aggregate(torch.cat([predicted * (1 - soft), soft])[None]).softmax(1)[0]
    torch.testing.assert_close(core.step(frames[1], soft, [2]), expected, atol=1e-6, rtol=0)


def test_one_frame_may_correct_an_object_and_bring_a_new_one(network):
    frames, masks = clip(5, 3)
    given = {0: (masks[0, :2], [8, 2]), 2: (masks[2, [2, 1]], [5, 2])}
    ours, reports = run(InferenceCoreYV(network, EAGER), frames, given)
    assert_distributions(ours, [2, 2, 3, 3, 3])
    assert reports[-1].objects == (8, 2, 5)
    torch.testing.assert_close(ours[2][2:], masks[2, 1:3], atol=1e-5, rtol=0)
    assert {k: bank.stored for k, bank in banks(reports[2]).items()} == {8: "dynamic", 2: "permanent", 5: "permanent"}
    assert banks(reports[4])[5].memory_frames == (2, 3, 4)


def test_the_names_of_objects_do_not_matter(network):
    frames, masks = clip(5, 3)

    def given(first, second, third):
        return {0: (masks[0, :1], [first]), 1: (masks[1, 1:], [second, third]), 3: (masks[3, 2:], [third])}

    expected, _ = run(InferenceCoreYV(network, EAGER), frames, given(1, 2, 3))
    ours, reports = run(InferenceCoreYV(network, EAGER), frames, given(255, 2, 17))
    assert_same(ours, expected)
    assert reports[-1].objects == (255, 2, 17)


def test_without_names_a_mask_is_of_the_objects_of_the_stream(network):
    frames, masks = clip(3)
    core = InferenceCoreYV(network)
    core.step(frames[0], masks[0], [9, 4])
    probabilities = core.step(frames[1], masks[1])
    assert core.objects == (9, 4)
    torch.testing.assert_close(probabilities[1:], masks[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("rows", "objects", "message"),
    [
        (2, [3, 3], r"objects \(3, 3\) must be different whole numbers above 0"),
        (2, [3, 0], "must be different whole numbers above 0"),
        (1, [-1], "must be different whole numbers above 0"),
        (2, [3], "mask has 2 rows but 1 objects"),
        (1, [1, 3], "mask has 1 rows but 2 objects"),
        (1, None, "mask has 1 rows but 2 objects"),
        (0, [3], r"shape \(0, 64, 96\)"),
    ],
)
def test_a_refused_mask_leaves_the_stream_as_it_was(network, rows, objects, message):
    frames, masks = clip(3)
    expected, expected_reports = run(InferenceCoreYV(network, EAGER), frames, {0: (masks[0],)})
    core = InferenceCoreYV(network, EAGER)
    core.step(frames[0], masks[0])
    with pytest.raises(ValueError, match=message):
        core.step(frames[1], masks[1, :rows], objects)
    assert core.objects == (1, 2)
    assert_same([core.step(image) for image in frames[1:]], expected[1:])
    assert core.report == expected_reports[-1]
