"""Measuring: work that takes turns in processes of its own, time that is covered, masks that differ."""

import os

import numpy as np
import pytest

from scripts.bench.measuring import Turns, covered, disagreement
from tests.helpers.warm_processes import use_warm_processes
from util.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def warm(monkeypatch):
    use_warm_processes(monkeypatch)


def counting(start):
    """Counts its turns; in the end it says in which process."""
    again = yield start
    while again:
        start += 1
        again = yield start
    yield os.getpid()


def failing(error):
    """Fails in its first turn."""
    yield
    raise error


def dying():
    """Ends the process in its first turn."""
    yield
    os._exit(3)


@pytest.mark.usefixtures("warm")
def test_subjects_take_turns():
    with Turns(counting, 10) as one, Turns(counting, 20) as other:
        assert (one.first, other.first) == (10, 20)
        assert [(one.next(), other.next()) for _ in range(3)] == [(11, 21), (12, 22), (13, 23)]
        assert len({one.last(), other.last(), os.getpid()}) == 3


def test_a_subject_may_be_left_in_the_middle():
    with Turns(counting, 0) as subject:
        subject.next()
        process = subject._process
    assert process.exitcode == 0


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("error", [InputError("no such file"), ZeroDivisionError("by nought")])
def test_its_errors_are_raised_here(error):
    with Turns(failing, error) as subject, pytest.raises(type(error), match=str(error)) as raised:
        subject.next()
    assert "in failing" in str(raised.value.__cause__)


@pytest.mark.usefixtures("warm")
def test_errors_before_the_first_turn_are_raised_too():
    with pytest.raises(TypeError, match="'str'"):
        Turns(sum, "ab")


@pytest.mark.usefixtures("warm")
def test_a_process_that_dies_is_reported():
    with Turns(dying) as subject, pytest.raises(RuntimeError, match="exit code 3"):
        subject.next()


def test_spans_that_overlap_count_once():
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0


def test_disagreement_counts_object_pixels():
    ours, expected = np.zeros((2, 2, 4, 4), np.uint8)
    ours[0, 0, :2], expected[0, 0, 1:3] = 1, 1
    assert disagreement(ours, expected) == pytest.approx(2 / 3)
