"""A window in which a click chooses a point of a picture and the picture is drawn anew."""

import os
import sys
from collections.abc import Callable

import cv2
import numpy as np

from util.errors import InputError

TITLE = "correspondence: click into the source, q to quit"
WAIT_MS = 20
QUIT_KEYS = (ord("q"), 27)

Point = tuple[int, int]


def require_display() -> None:
    """Refuse a window where none can be shown.

    Raises:
        InputError: there is no display.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("there is no display for a window; choose points by --point X,Y or objects by --mask FILE")


def choose_point(draw: Callable[[Point | None], np.ndarray], corner: Point, size: tuple[int, int]) -> Point | None:
    """Show a picture until q or Esc is pressed or the window is closed; each click in an area of it chooses a point.

    Args:
        draw: the picture, RGB uint8, for the point that was chosen last.
        corner: (x, y) of the area's upper left corner in the picture.
        size: height and width of the area, in pixels.

    Returns:
        The point (x, y) that was chosen last, relative to the corner; None without a click.

    Raises:
        InputError: OpenCV was built without windows.
    """
    clicks: list[Point] = []

    def click(event: int, x: int, y: int, flags: int, data: object) -> None:
        point = x - corner[0], y - corner[1]
        if event == cv2.EVENT_LBUTTONDOWN and 0 <= point[0] < size[1] and 0 <= point[1] < size[0]:
            clicks.append(point)

    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)
        cv2.setMouseCallback(TITLE, click)
    except cv2.error as error:
        raise InputError(
            "OpenCV has no windows here; choose points by --point X,Y or objects by --mask FILE"
        ) from error
    try:
        return _loop(draw, clicks)
    finally:
        cv2.destroyAllWindows()


def _loop(draw: Callable[[Point | None], np.ndarray], clicks: list[Point]) -> Point | None:
    chosen: Point | None = None
    _show(draw(chosen))
    while cv2.waitKey(WAIT_MS) & 0xFF not in QUIT_KEYS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1:
        if clicks:
            chosen = clicks[-1]
            clicks.clear()
            _show(draw(chosen))
    return chosen


def _show(picture: np.ndarray) -> None:
    cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
