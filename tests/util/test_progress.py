"""Showing how far a run has come."""

import io

import pytest

from util.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_and_no_lines(capsys):
    terminal = Terminal()
    with Progress(2, terminal) as progress:
        progress.advance("bike")
        progress.advance("bike")
        progress.part_done("bike: 2 frames")
    assert "bike" in terminal.getvalue()
    assert "2 of 2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_an_error_comes_after_the_bars_line():
    terminal = Terminal()

    def stumble():
        with Progress(2, terminal) as progress:
            progress.advance("bike")
            raise KeyError("caller")

    with pytest.raises(KeyError, match="caller"):
        stumble()
    assert terminal.getvalue().endswith("\n")
    assert "2 of 2" not in terminal.getvalue()


def test_elsewhere_each_finished_part_is_a_line(capsys):
    stream = io.StringIO()
    with Progress(2, stream) as progress:
        progress.advance("bike")
        progress.part_done("bike: 1 frame")
    assert stream.getvalue() == ""
    assert capsys.readouterr().out == "bike: 1 frame\n"
