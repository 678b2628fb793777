"""The simulated user: rounds make masks better, the worst frame is corrected, and the numbers are what they say."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

import eval_interactive
from datasets.frame_files import FrameFolder
from datasets.mask_files import write_ids
from interactive.rounds import (
    WAYS,
    Round,
    TrueVideo,
    Way,
    area_to,
    mean_scores,
    plot_rounds,
    rounds_table,
    score_at,
    simulate,
    write_rounds,
)
from tests.helpers.interactive_sessions import (
    HEIGHT,
    RADIUS,
    WIDTH,
    DiskClicks,
    StillNetwork,
    open_session,
    still_frames,
)
from util.errors import InputError

COUNT = 9


def moving(index):
    """An object of the size that a click gives, which moves."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(ids, (16 + 4 * index, 24), RADIUS, 1, -1)
    return ids


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = tmp_path_factory.mktemp("rounds")
    still_frames(tree / "JPEGImages/480p/still", COUNT)
    (tree / "Annotations/480p/still").mkdir(parents=True)
    for index in range(COUNT):
        write_ids(tree / f"Annotations/480p/still/{index:05d}.png", moving(index))
    return tree


def play(tree, folder, choice="truth", rounds=4, clicks=2):
    video = TrueVideo.open(tree, "still")
    session = open_session(tree / "JPEGImages/480p/still", folder)
    found = list(simulate(session, video, rounds=rounds, clicks=clicks, choice=choice))
    session.close()
    return found


def test_rounds_make_masks_better(tree, tmp_path):
    rounds = play(tree, tmp_path / "session")
    assert [one.number for one in rounds] == [1, 2, 3, 4]
    assert rounds[0].frame == 0 and rounds[0].clicks == 1
    assert moving(rounds[1].frame)[24, 16] == 0  # where the object is no more
    assert all(a.score < b.score and a.seconds < b.seconds and a.clicks <= b.clicks for a, b in pairwise(rounds))
    assert len({one.frame for one in rounds}) == 4


def test_the_session_may_choose_the_frame(tree, tmp_path):
    rounds = play(tree, tmp_path / "session", "quality", rounds=2)
    assert rounds[0].frame == 0 != rounds[1].frame


def test_without_clicks_the_true_mask_is_given(tree, tmp_path):
    rounds = play(tree, tmp_path / "session", rounds=COUNT, clicks=0)
    assert rounds[-1].clicks == 0 and rounds[0].score < rounds[-1].score == 1


def test_rounds_end_when_every_frame_was_corrected(tree, tmp_path):
    assert len(play(tree, tmp_path / "session", rounds=COUNT + 5)) == COUNT


def test_scores_are_those_of_the_true_masks(tree):
    video = TrueVideo.open(tree, "still")
    j, f = video.scores(lambda index: np.where(moving(index) == 1, 5, 0), {1: 5, 2: 6})
    assert (j == 1).all() and (f == 1).all()  # the second object is nowhere, and rightly so
    j, f = video.scores(lambda index: np.zeros((HEIGHT, WIDTH)), {1: 5})
    assert (j == 0).all() and (f == 0).all()


def test_a_mask_of_0_and_255_shows_one_object(tree, tmp_path):
    still_frames(tmp_path / "JPEGImages/480p/still", 2)
    (tmp_path / "Annotations/480p/still").mkdir(parents=True)
    for index in range(2):
        write_ids(tmp_path / f"Annotations/480p/still/{index:05d}.png", 255 * moving(index))
    assert TrueVideo.open(tmp_path, "still").objects == [1]


def test_all_frames_need_true_masks(tree, tmp_path):
    still_frames(tmp_path / "JPEGImages/480p/still", COUNT)
    (tmp_path / "Annotations/480p/still").mkdir(parents=True)
    write_ids(tmp_path / "Annotations/480p/still/00000.png", moving(0))
    with pytest.raises(InputError, match="masks of 1 of 9 frames"):
        TrueVideo.open(tmp_path, "still")
    empty = TrueVideo("empty", FrameFolder(tree / "JPEGImages/480p/still"), [np.zeros((4, 4), np.uint8)])
    with pytest.raises(InputError, match="no object"):
        next(simulate(None, empty, rounds=1, clicks=1))


def a_round(number, seconds, score, video="a"):
    return Round(video, number, 0, number, seconds, score, score)


def test_scores_over_time_are_linear_between_rounds():
    rounds = [a_round(1, 10, 0.5), a_round(2, 30, 0.9)]
    assert [score_at(rounds, t) for t in (0, 5, 10, 20, 30, 99)] == pytest.approx([0, 0.25, 0.5, 0.7, 0.9, 0.9])
    assert area_to(rounds, 60) == pytest.approx((10 * 0.25 + 20 * 0.7 + 30 * 0.9) / 60)
    assert area_to(rounds, 5) == pytest.approx(0.125)


def test_a_video_that_ended_earlier_keeps_its_score(tmp_path):
    rounds = [a_round(1, 1, 0.5), a_round(2, 2, 0.9), a_round(1, 1, 0.7, "b")]
    assert mean_scores(rounds, 3) == pytest.approx([0.6, 0.8, 0.8])
    results = dict.fromkeys(WAYS, rounds)
    text = rounds_table(results, 3)
    assert "a 2, b -" in text and text.count("60.0") == len(WAYS)
    write_rounds(tmp_path / "rounds.csv", {Way("truth", True): rounds})
    assert (tmp_path / "rounds.csv").read_text().splitlines()[2] == "truth,1,a,2,0,2,2.00,0.9000,0.9000,0.9000"
    plot_rounds(tmp_path / "rounds.png", results, 3)
    assert (tmp_path / "rounds.png").stat().st_size > 5000


def test_the_command_plays_all_ways(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(eval_interactive, "load_network", lambda path, device: StillNetwork().eval())
    monkeypatch.setattr(StillNetwork, "query_encoder", None, raising=False)
    monkeypatch.setattr(eval_interactive, "load_click_network", lambda path, trunk: DiskClicks())
    output = tmp_path / "output"
    eval_interactive.main(["--davis", str(tree), "--rounds", "2", "--clicks", "1", "--output", str(output)])
    assert sorted(path.name for path in output.glob("[!.]*")) == ["rounds.csv", "rounds.png", "rounds.txt"]
    assert len((output / "rounds.csv").read_text().splitlines()) == 1 + 2 * len(WAYS)
    assert "rounds until 85" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        eval_interactive.main(["--stills", str(tree), "--rounds", "2"])
