"""Scores of boxes against values by hand, a plain second computation, and those of the GOT-10k toolkit."""

import math
from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.trees import TNL2K, LaSOT, LaSOTExtension
from evaluation.boxes.scores import (
    GOT10K_RULES,
    LASOT_RULES,
    BoxScores,
    VideoScore,
    box_ious,
    published_hits,
    score_got10k,
    score_lasot,
)
from tests.helpers.deterministic import FIXTURES, fixture
from util.text_files import read_json

SQUARE = (10.0, 10.0, 10.0, 10.0)


def boxes(*rows):
    return np.array(rows, float)


def lasot(found, truth, visible=None):
    truth = boxes(*truth)
    visible = np.ones(len(truth), bool) if visible is None else np.array(visible, bool)
    return score_lasot(boxes(*found), truth, visible)


def summed(parts, rules):
    return BoxScores("one", tuple(VideoScore(str(i), part, 10.0) for i, part in enumerate(parts)), rules)


def test_iou_by_hand():
    second = boxes((10, 10, 10, 10), (15, 10, 10, 10), (20, 10, 10, 10), (12, 12, 5, 5), (10, 10, 0, 0))
    assert box_ious(boxes(*[SQUARE] * 5), second) == pytest.approx([1, 50 / 150, 0, 0.25, 0])
    assert box_ious(boxes((3, 3, 0, 0)), boxes((3, 3, 0, 0))) == [0]


def test_iou_is_never_above_one():
    rows = np.random.default_rng(0).uniform(0.1, 300, (2000, 4))
    assert box_ious(rows, rows).max() <= 1


def test_lasot_measures_by_hand():
    """IoU 1, 1/3 and 0; centres 0, 5 and 30 pixels apart; widths of 10."""
    frames = lasot([SQUARE, (15, 10, 10, 10), (40, 10, 10, 10)], [SQUARE] * 3)
    assert frames.pixels.tolist() == [0, 5, 30]
    assert frames.relative.tolist() == [0, 0.5, 3]
    measures = summed([frames], LASOT_RULES).measures
    assert measures["AUC"] == pytest.approx((20 + 7) / 3 / 21)
    assert [measures[name] for name in ("OP50", "OP75")] == pytest.approx([1 / 3, 1 / 3])
    assert measures["Precision"] == pytest.approx(2 / 3)
    assert measures["Norm Precision"] == pytest.approx(1 / 3)
    assert measures["Norm Precision AUC"] == pytest.approx((51 + 1) / 3 / 51)


def test_thresholds_of_distance_are_reached_and_those_of_iou_are_not():
    frames = lasot([SQUARE, (30, 10, 10, 10), (10, 10, 10, 5), (12, 10, 10, 10)], [SQUARE] * 4)
    measures = summed([frames], LASOT_RULES).measures
    assert frames.ious[2] == 0.5
    assert measures["OP50"] == 2 / 4
    assert measures["Precision"] == 1
    assert frames.relative[3] == pytest.approx(0.2)
    assert measures["Norm Precision"] == 2 / 4


def test_the_first_box_is_replaced_by_the_true_one():
    assert lasot([(90, 90, 1, 1), SQUARE], [SQUARE] * 2).ious.tolist() == [1, 1]


@pytest.mark.parametrize("lost", [(0, 0, 0, 0), (5, 5, 0, 7), (math.nan,) * 4])
def test_frames_without_true_size_are_lost_and_count(lost):
    frames = lasot([SQUARE] * 2, [SQUARE, lost])
    assert frames.success.tolist() == [0.5] * 20 + [0]
    assert frames.precision.max() == frames.normalised_precision.max() == 0.5


def test_frames_in_which_the_object_is_not_visible_are_lost_even_with_a_perfect_box():
    measures = summed([lasot([SQUARE] * 4, [SQUARE] * 4, [1, 0, 1, 0])], LASOT_RULES).measures
    assert measures["AUC"] == pytest.approx(0.5 * 20 / 21)
    assert [measures[k] for k in ("OP50", "OP75", "Precision", "Norm Precision")] == [0.5] * 4


def test_a_found_box_without_size_is_the_one_before():
    frames = lasot([SQUARE, SQUARE, (0, 0, 0, 0), (0, 0, 3, 0)], [SQUARE] * 4)
    assert frames.ious.tolist() == [1] * 4


def test_lasot_videos_weigh_the_same_and_got10k_frames_do():
    found = [boxes(*[SQUARE] * 2), boxes(SQUARE, *[(90, 90, 5, 5)] * 9)]
    truths = [boxes(*[SQUARE] * len(rows)) for rows in found]
    parts = [score_lasot(rows, truth, np.ones(len(rows), bool)) for rows, truth in zip(found, truths, strict=True)]
    assert summed(parts, LASOT_RULES).measures["OP50"] == pytest.approx((1 + 0.1) / 2)
    parts = [score_got10k(rows, t, np.full(len(rows), 8), (99, 99)) for rows, t in zip(found, truths, strict=True)]
    assert summed(parts, GOT10K_RULES).measures["SR50"] == pytest.approx(1 / 10)


def test_got10k_leaves_out_the_first_frame_and_those_where_the_object_is_gone():
    found = boxes((0, 0, 1, 1), SQUARE, (0, 0, 1, 1), (10, 10, 10, 6), (15, 10, 10, 10))
    frames = score_got10k(found, boxes(*[SQUARE] * 5), np.array([8, 1, 0, 8, 8]), (100, 100))
    assert frames.ious == pytest.approx([1, 0.6, 1 / 3])
    measures = summed([frames], GOT10K_RULES).measures
    assert measures == pytest.approx({"AO": (1 + 0.6 + 1 / 3) / 3, "SR50": 2 / 3, "SR75": 1 / 3})


def test_got10k_boxes_are_cut_at_the_image():
    """Right and below they lose what is outside; left and above they move in with all their size, as in the toolkit."""
    found = boxes(SQUARE, (15, 10, 90, 10), (-5, 10, 10, 10))
    truth = boxes(SQUARE, (15, 10, 5, 10), (0, 10, 10, 10))
    assert score_got10k(found, truth, np.full(3, 8), (30, 20)).ious.tolist() == [1, 1]


def test_a_shown_got10k_object_without_true_size_counts_as_missed():
    frames = score_got10k(boxes(*[SQUARE] * 3), boxes(SQUARE, SQUARE, (math.nan,) * 4), np.full(3, 8), (99, 99))
    assert summed([frames], GOT10K_RULES).measures["AO"] == 0.5


def test_nothing_to_score_is_nan():
    frames = score_got10k(boxes(SQUARE), boxes(SQUARE), np.array([8]), (99, 99))
    assert all(math.isnan(value) for value in summed([frames], GOT10K_RULES).measures.values())


# A second computation, frame by frame


def drifting(video, count):
    """True and found boxes (T, 4) that need no random numbers; some reach beyond the frame."""
    t = np.arange(count)
    truth = np.stack([40 * np.sin(t * 0.7 + video) + 30, 30 * np.cos(t * 0.4) + 20, 25 + t % 9, 40 - t % 13], 1)
    off = np.stack([np.sin(1.3 * t + video) * 24, np.cos(2.1 * t) * 9, 3 * np.sin(t), 4 * np.cos(t)], 1)
    return truth, truth + off


def plain_iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_lasot_measures_equal_a_plain_computation():
    counts, names = (40, 17, 90), list(LASOT_RULES.measures)
    parts, expected = [], []
    for video, count in enumerate(counts):
        truth, found = drifting(video, count)
        visible = np.arange(count) % 7 != 3
        parts.append(score_lasot(found, truth, visible))
        sums = dict.fromkeys(names, 0.0)
        for t in range(count):
            if not visible[t]:
                continue
            box, true = (truth[t] if t == 0 else found[t]), truth[t]
            iou = min(1, plain_iou(box, true))
            dx, dy = (box[i] + (box[i + 2] - 1) / 2 - true[i] - (true[i + 2] - 1) / 2 for i in (0, 1))
            relative = round(math.sqrt((dx / true[2]) ** 2 + (dy / true[3]) ** 2), 12)
            sums["AUC"] += sum(iou > k / 20 for k in range(21)) / 21
            sums["OP50"] += iou > 0.5
            sums["OP75"] += iou > 0.75
            sums["Precision"] += math.sqrt(dx**2 + dy**2) <= 20
            sums["Norm Precision"] += relative <= 0.2
            sums["Norm Precision AUC"] += sum(relative <= k / 100 for k in range(51)) / 51
        expected.append([sums[name] / count for name in names])
    assert list(summed(parts, LASOT_RULES).measures.values()) == pytest.approx(np.mean(expected, 0).tolist(), abs=1e-12)


def test_the_numbers_are_those_of_the_got10k_toolkit():
    """AO and SR of its GOT-10k experiment, success and precision of its OTB experiment (version 0.1.3)."""
    got, otb = [], []
    for video, count in enumerate((40, 17, 90)):
        truth, found = (np.round(rows, 3) for rows in drifting(video, count))
        got.append(score_got10k(found, truth, np.arange(count) % 5, (64, 96)))
        otb.append(score_lasot(found, truth, np.ones(count, bool)))
    measures = summed(got, GOT10K_RULES).measures
    assert [measures["AO"], measures["SR50"]] == pytest.approx([0.37879332404083615, 0.3076923076923077], abs=1e-12)
    measures = summed(otb, LASOT_RULES).measures
    expected = [0.30299823633156964, 0.1440087145969499, 0.6203159041394336]
    assert [measures[name] for name in ("AUC", "OP50", "Precision")] == pytest.approx(expected, abs=1e-12)


# The published analysis

SETS = {"lasot": LaSOT, "lasot_extension_subset": LaSOTExtension, "tnl2k": TNL2K}


def analysed(kind, tracker, compat):
    """Our scores of the made sequences of a tracker, whose rows beyond the truth are cut."""
    stored = fixture("droptrack_analysis")
    names = ("made-1", "made-2", "made-3")
    tree, parts = SETS[kind](Path(), names), []
    for name in names:
        truth = stored[f"gt_{name}"]
        visible = np.ones(len(truth), bool) if kind == "tnl2k" else stored[f"visible_{name}"] > 0
        found = stored[f"pred_{tracker}_{name}"][: len(truth)]
        parts.append(score_lasot(found, truth, visible, published_hits(tree, visible) if compat else None))
    return parts


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("tracker", ["a", "b"])
def test_measures_and_curves_equal_those_of_the_published_analysis(kind, tracker):
    stored, parts = fixture("droptrack_analysis"), analysed(kind, tracker, compat=True)
    expected = read_json(FIXTURES / "droptrack_analysis.json")["measures"][kind]
    measures = summed(parts, LASOT_RULES).measures
    number = "ab".index(tracker)
    for name, values in expected.items():
        assert 100 * measures[name] == pytest.approx(values[number], abs=1e-4)
    for curve, ending in (("success", "overlap"), ("precision", "center"), ("normalised_precision", "center_norm")):
        found = np.array([getattr(part, curve) for part in parts])
        np.testing.assert_allclose(found, stored[f"{kind}_ave_success_rate_plot_{ending}"][:, number], atol=1e-6)


def test_only_norm_precision_differs_without_the_quirk():
    for tracker, expected in (("a", 70.1667), ("b", 33.8889)):
        ours, published = (summed(analysed("lasot", tracker, flag), LASOT_RULES).measures for flag in (False, True))
        assert 100 * ours["Norm Precision"] == pytest.approx(expected, abs=1e-4)
        assert {name: value for name, value in ours.items() if not name.startswith("Norm")} == {
            name: value for name, value in published.items() if not name.startswith("Norm")
        }
