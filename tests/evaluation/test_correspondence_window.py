"""The window, with a stand-in for OpenCV's."""

import sys

import cv2
import numpy as np
import pytest

from evaluation.report.correspondence import choose_point, why_no_window
from util.errors import InputError

CORNER, SIZE = (12, 10), (40, 60)
ESCAPE = "\x1b"


class Screen:
    """Plays the events of a user and keeps the pictures shown, in RGB.

    An event is a click (x, y) in pixels of the picture, a key, or None for nothing.
    """

    def __init__(self, monkeypatch, events, visible=1.0):
        self.events, self.shown, self.open = list(events), [], False
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: setattr(self, "open", True))
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: setattr(self, "open", False))
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
        monkeypatch.setattr(cv2, "setMouseCallback", lambda title, click: setattr(self, "click", click))
        monkeypatch.setattr(cv2, "imshow", lambda title, picture: self.shown.append(picture[..., ::-1]))
        monkeypatch.setattr(cv2, "waitKey", self.wait)

    def wait(self, milliseconds):
        event = self.events.pop(0)
        if isinstance(event, str):
            return ord(event)
        if event is not None:
            self.click(cv2.EVENT_MOUSEMOVE, 0, 0, 0, None)
            self.click(cv2.EVENT_LBUTTONDOWN, *event, 0, None)
        return -1


def draw(point):
    """A picture whose first pixel is the point."""
    return np.full((60, 150, 3), (*(point or (0, 0)), 200), np.uint8)


@pytest.mark.parametrize("key", ["q", ESCAPE])
def test_a_click_chooses_a_point_and_a_key_ends_it(monkeypatch, key):
    screen = Screen(monkeypatch, [None, (12 + 33, 10 + 21), None, key])
    assert choose_point(draw, CORNER, SIZE) == (33, 21)
    assert [picture[0, 0].tolist() for picture in screen.shown] == [[0, 0, 200], [33, 21, 200]]
    assert not screen.open


def test_the_last_click_counts(monkeypatch):
    Screen(monkeypatch, [(20, 20), (30, 40), "x", "q"])
    assert choose_point(draw, CORNER, SIZE) == (18, 30)


def test_clicks_beside_the_area_choose_nothing(monkeypatch):
    screen = Screen(monkeypatch, [(11, 20), (20, 9), (72, 20), (20, 50), "q"])
    assert choose_point(draw, CORNER, SIZE) is None
    assert len(screen.shown) == 1


def test_closing_the_window_ends_it(monkeypatch):
    screen = Screen(monkeypatch, [None], visible=0.0)
    assert choose_point(draw, CORNER, SIZE) is None
    assert not screen.open


def test_an_opencv_without_windows_asks_for_points_or_a_mask(monkeypatch):
    def refuse(*_):
        raise cv2.error("The function is not implemented")

    Screen(monkeypatch, [])
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(InputError, match=r"no windows.*--point.*--mask"):
        choose_point(draw, CORNER, SIZE)


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_either_kind_of_display_will_do(monkeypatch, name):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    assert "no display" in why_no_window()
    monkeypatch.setenv(name, "0")
    assert why_no_window() is None
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    assert "no windows" in why_no_window()
