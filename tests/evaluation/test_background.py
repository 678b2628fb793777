"""Calls on background threads."""

import threading

import pytest

from evaluation.segment import Background


def test_calls_of_one_thread_keep_their_order_and_are_done_when_it_closes():
    found = []
    with Background(found.append, threads=1, capacity=2) as add:
        for number in range(20):
            add(number)
    assert found == list(range(20))


def test_a_failure_is_raised_by_what_comes_next():
    with pytest.raises(ZeroDivisionError), Background(lambda x: 1 / x, threads=1, capacity=1) as divide:
        divide(0)
        divide(1)
        pytest.fail("the second call raises")


def test_no_more_calls_wait_than_there_is_room_for():
    gate, begun = threading.Event(), []
    with Background(lambda x: begun.append(x) or gate.wait(), threads=1, capacity=2) as call:
        call(0)
        call(1)
        third = threading.Thread(target=call, args=(2,))
        third.start()
        third.join(0.05)
        assert third.is_alive()
        gate.set()
        third.join(10)
        assert not third.is_alive()
    assert begun == [0, 1, 2]
