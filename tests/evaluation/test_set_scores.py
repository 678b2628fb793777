"""What the sets of today tell of results, against a second computation by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from datasets.frame_files import FrameFolder
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from datasets.test.sets import SETS, YOUTUBE, Scoring
from evaluation import set_scores
from evaluation.metrics import adaptive_bound
from evaluation.scoring import ObjectScore, Scores
from evaluation.set_scores import MEASURES, find_cuts, recall_after_cut, report_scores
from tests.helpers.scored_trees import build_trees, score

SIZE = (64, 128)


def square(left, top=20, side=20):
    ids = np.zeros(SIZE, np.uint8)
    ids[top : top + side, left : left + side] = 1
    return ids


def boundary(mask):
    """Places whose right, lower or lower right neighbour differs, one by one."""
    height, width = mask.shape
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            y + dy < height and x + dx < width and mask[y, x] != mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
        )
    ]


def contour_accuracy(gt, seg, radius):
    """F as its definition says: the harmonic mean of the shares of places with one of the other within the radius."""
    places = np.array(boundary(gt)), np.array(boundary(seg))
    if not len(places[0]) or not len(places[1]):
        return float(len(places[0]) == len(places[1]))
    distances = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)
    recall, precision = (np.mean(distances.min(axis) <= radius) for axis in (1, 0))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def overlap(gt, seg):
    union = int(((gt > 0) | (seg > 0)).sum())
    return int(((gt > 0) & (seg > 0)).sum()) / union if union else 1.0


@pytest.fixture(scope="module")
def reappearing():
    """Truth and results of an object that goes twice and comes back twice, in eleven frames."""
    gone = np.zeros(SIZE, np.uint8)
    truth = (
        [square(20 + i) for i in range(3)]
        + [gone] * 2
        + [square(60), square(61)]
        + [gone]
        + [square(90 + i) for i in range(3)]
    )
    guess = (
        [square(20 + i) for i in range(3)]
        + [gone, square(24)]
        + [square(64), square(61)]
        + [gone]
        + [gone, square(92), square(92)]
    )
    return truth, guess


def test_mose_v2_is_scored_by_its_published_rule(tmp_path, reappearing):
    truth, guess = reappearing
    rule = SETS["mose2"].scoring
    (found,) = score(build_trees(tmp_path, np.stack(truth), np.stack(guess)), rule=rule).objects
    pairs = list(zip(truth, guess, strict=True))[1:-1]
    diagonal = math.hypot(*SIZE)
    j = [overlap(gt, seg) for gt, seg in pairs]
    plain = [contour_accuracy(gt, seg, math.ceil(0.008 * diagonal)) for gt, seg in pairs]
    dot = [
        contour_accuracy(gt, seg, min(0.008 * diagonal, math.ceil(0.1 * math.sqrt(gt.sum()))) if gt.any() else 2)
        for gt, seg in pairs
    ]
    quality = [(a + b) / 2 for a, b in zip(j, dot, strict=True)]
    # scored frames 1..9: there, there, gone, gone, back, back, gone, back, back
    gone = [np.mean(quality[2:4]), np.mean(quality[6:7])]
    back = [np.mean(quality[4:6]), np.mean(quality[7:9])]
    wanted = {
        "J&F_dot": np.mean(quality),
        "J": np.mean(j),
        "F_dot": np.mean(dot),
        "J&F_dot_d": np.mean(gone),
        "J&F_dot_r": np.mean(back),
        "F": np.mean(plain),
        "J&F": (np.mean(j) + np.mean(plain)) / 2,
    }
    assert {name: MEASURES[name](found) for name in rule.measures} == pytest.approx(wanted)
    assert 0 < wanted["J&F_dot_r"] < wanted["J&F_dot"] < 1


def test_the_bound_of_small_objects_is_smaller_and_that_of_large_ones_the_usual():
    large = np.ones((480, 854), bool)
    small = np.zeros((480, 854), bool)
    small[:10, :10] = True
    assert adaptive_bound(small) == 1
    assert adaptive_bound(large) == pytest.approx(0.008 * math.hypot(480, 854))
    assert adaptive_bound(small * False) == adaptive_bound(large)


def test_an_object_that_never_leaves_has_no_score_of_leaving():
    steady = ObjectScore("a", 1, np.ones(4), np.ones(4), tuple("abcd"), present=np.ones(4, bool), adaptive_f=np.ones(4))
    assert math.isnan(set_scores.disappearance(steady)) and math.isnan(set_scores.reappearance(steady))


def test_absence_at_the_beginning_is_no_disappearance_but_ends_with_a_return():
    present = np.array([False, False, True, True])
    values = np.array([1, 0, 0.5, 1])
    late = ObjectScore("a", 1, values, values, tuple("abcd"), present=present, adaptive_f=values)
    assert math.isnan(set_scores.disappearance(late))
    assert set_scores.reappearance(late) == pytest.approx(0.75)


def test_the_last_quarter_begins_behind_three_quarters_of_the_frames():
    item = ObjectScore("a", 1, np.arange(10) / 10, np.zeros(10))
    assert MEASURES["J_tr"](item) == pytest.approx(np.mean([0.7, 0.8, 0.9]))


class Grouped(VideoSet):
    """Two objects of seen kinds and one of an unseen kind."""

    videos, split = (), "val"

    def __init__(self, scoring, unseen=("b",)):
        self.scoring, self._unseen = scoring, unseen

    def is_unseen(self, video, object_id):
        return None if self._unseen is None else video in self._unseen


def global_row(folder):
    names, values = (line.split(",") for line in (folder / "global_results-val.csv").read_text().splitlines())
    return {name: float(value) for name, value in zip(names, values, strict=True)}


SCORES = Scores(
    (
        ObjectScore("a", 1, np.array([1.0, 0.5]), np.array([0.5, 0.5])),
        ObjectScore("a", 2, np.array([0.2, 0.2]), np.array([0.4, 0.4])),
        ObjectScore("b", 1, np.array([0.0, 1.0]), np.array([0.0, 0.5])),
    )
)


def test_lvos_averages_seen_and_unseen_objects_apart(tmp_path, capsys):
    report_scores(SCORES, Grouped(SETS["lvos2"].scoring), tmp_path)
    row = global_row(tmp_path)
    v = [np.std([0.75, 0.5]), np.std([0.3, 0.3]), np.std([0, 0.75])]
    wanted = {
        "J_seen": (0.75 + 0.2) / 2,
        "J_unseen": 0.5,
        "F_seen": 0.45,
        "F_unseen": 0.25,
        "V_seen": (v[0] + v[1]) / 2,
        "V_unseen": v[2],
    }
    wanted |= {name: (wanted[f"{name}_seen"] + wanted[f"{name}_unseen"]) / 2 for name in "JFV"}
    wanted["J&F"] = sum(wanted[f"{name}_{kind}"] for name in "JF" for kind in ("seen", "unseen")) / 4
    assert row == pytest.approx(wanted, abs=6e-4)
    assert "Global" in capsys.readouterr().out


def test_youtube_vos_has_four_scores_and_their_mean(tmp_path):
    report_scores(SCORES, Grouped(YOUTUBE), tmp_path)
    row = global_row(tmp_path)
    four = [row[name] for name in ("J_seen", "J_unseen", "F_seen", "F_unseen")]
    assert four == pytest.approx([0.475, 0.5, 0.45, 0.25], abs=6e-4)
    assert row["J&F"] == pytest.approx(np.mean(four), abs=6e-4)


def test_without_a_list_of_the_unseen_all_are_averaged_which_is_said(tmp_path, capsys):
    report_scores(SCORES, Grouped(SETS["lvos"].scoring, unseen=None), tmp_path)
    assert global_row(tmp_path)["J"] == pytest.approx((0.75 + 0.2 + 0.5) / 3, abs=6e-4)
    assert "not told apart" in capsys.readouterr().out


@pytest.mark.parametrize(("late", "frames"), [("after", 3), ("given", 4), ("never", 0)])
def test_what_counts_of_a_late_object_is_for_the_rule_to_say(tmp_path, late, frames):
    truth = np.stack([square(20)] * 6)
    truth[2:, 60:70, 60:70] = 2
    guess = truth if late != "never" else np.stack([square(20)] * 6)
    rule = Scoring(skip_first=False, skip_last=False, late=late)
    found = {
        item.object_id: len(item.j_values) for item in score(build_trees(tmp_path, truth, guess), rule=rule).objects
    }
    assert found == {1: 6} | ({2: frames} if frames else {})


def test_only_the_frames_of_an_object_count_where_they_are_told(tmp_path):
    trees = build_trees(tmp_path, np.stack([square(20)] * 6), np.stack([square(20)] * 6))
    rule = SETS["lvos"].scoring
    (found,) = score(trees, rule=rule, object_frames={"cat": {1: {"00001", "00002"}}}).objects
    assert found.frames == ("00001", "00002")


@pytest.fixture(scope="module")
def cut_video(tmp_path_factory):
    """Twelve frames of three shots, which begin with frames 0, 4 and 9; within a shot a square moves."""
    folder = tmp_path_factory.mktemp("cut")
    for number in range(12):
        colour = (200, 60, 40) if number < 4 else (30, 80, 190) if number < 9 else (220, 220, 210)
        frame = np.full((*SIZE, 3), colour, np.uint8)
        frame[square(10 * number) > 0] = (90, 200, 90)
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg")
    source = FrameFolder(folder)
    return AnnotatedVideo("a", source, {}, lambda path: path, (1,), {1: 0}, SIZE)


def test_cuts_are_found_where_the_picture_changes(cut_video):
    assert find_cuts(cut_video) == [4, 9]


def test_recall_after_a_cut_looks_at_the_first_frame_of_a_shot_that_shows_the_object():
    frames = tuple(f"{number:05d}" for number in (0, 2, 4, 6, 8, 10))
    present = np.array([True, True, False, True, True, True])
    item = ObjectScore("a", 1, np.array([1, 1, 1, 0.4, 0.9, 0.7]), np.ones(6), frames, present=present)
    order = {"a": {f"{number:05d}": number for number in range(12)}}
    assert recall_after_cut(item, {"a": [4, 9]}, order) == 0.5  # 0.4 at frame 6, 0.7 at frame 10
    assert math.isnan(recall_after_cut(item, {"a": []}, order))
