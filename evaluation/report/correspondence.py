"""Correspondences between two frames as pictures: both side by side, in a file or in a window that takes clicks."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.test.sizing import Limit
from evaluation.report.pictures import contact_sheet, mark_points, overlay_heat
from inference.correspondence import Correspondence, Point
from model.memory_network import AffinityNetwork
from util.errors import InputError
from util.tensors import normalise

TITLE = "correspondence: click into the source, q to quit"
WAIT_MS = 20
QUIT_KEYS = (ord("q"), 27)


@dataclass(frozen=True)
class Picture:
    """A frame that is shown.

    Attributes:
        path: of the file that it is from.
        caption: what it is called below it.
        size: height and width in the file, in pixels.
        rgb: as the network sees it, (H, W, 3), uint8.
    """

    path: Path
    caption: str
    size: tuple[int, int]
    rgb: np.ndarray

    @classmethod
    def reduced(cls, path: Path, caption: str, pixels: np.ndarray, short_side: int | None) -> "Picture":
        """Pixels (H, W, 3), uint8, whose shorter side is cut down to `short_side` where it is longer."""
        size = (pixels.shape[0], pixels.shape[1])
        height, width = Limit((short_side,) if short_side else ()).working(size)
        return cls(path, caption, size, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))

    def shrink(self, point: Point) -> Point:
        """A point (x, y) of the file in `rgb`.

        Raises:
            InputError: the point lies outside.
        """
        x, y = point
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"point {x},{y} is outside {self.path}; give 0,0 to {width - 1},{height - 1}")
        return x * self.rgb.shape[1] // width, y * self.rgb.shape[0] // height

    def enlarge(self, point: Point) -> Point:
        """A point (x, y) of `rgb` in the file."""
        return point[0] * self.size[1] // self.rgb.shape[1], point[1] * self.size[0] // self.rgb.shape[0]


class PicturePair:
    """A source and a target picture, and what corresponds in them.

    Args:
        network: in evaluation mode.
        source, target: of one size.
        device: of the network.
        top_k: most similar source cells that count; None for all.

    Raises:
        InputError: the pictures differ in size.
    """

    def __init__(
        self, network: AffinityNetwork, source: Picture, target: Picture, device: torch.device, top_k: int | None = None
    ) -> None:
        sizes = [f"{p.rgb.shape[1]}x{p.rgb.shape[0]}" for p in (source, target)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{target.path} is {sizes[1]} and {source.path} {sizes[0]}; crop or scale one to the other's size"
            )
        self.source, self.target = source, target
        images = [normalise(picture.rgb)[None].to(device) for picture in (source, target)]
        self.correspondence = Correspondence(network, images[0], images[1], top_k=top_k)
        self._size = (source.rgb.shape[0], source.rgb.shape[1])

    def carry_ids(self, ids: np.ndarray) -> np.ndarray:
        """Object ids (H, W), uint8, of the source file -> ids (H', W'), uint8, of the target file."""
        resized = cv2.resize(ids, self._size[::-1], interpolation=cv2.INTER_NEAREST)
        return self.correspondence.carry_ids(resized, self.target.size)

    def draw_points(self, points: Sequence[Point], shares: Tensor | None = None) -> np.ndarray:
        """Both pictures: crosses on points (x, y) of the source's `rgb`, and their shares (P,h,w) as heat."""
        target = self.target.rgb
        if shares is not None:
            target = overlay_heat(target, self.correspondence.to_pixels(shares).numpy())
        return self._draw([mark_points(self.source.rgb, points), target], [np.zeros(self._size, np.uint8)] * 2)

    def draw_ids(self, source_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray:
        """Both pictures with the objects of ids (H, W), uint8, outlined and faintly filled."""
        return self._draw([self.source.rgb, self.target.rgb], [source_ids, target_ids])

    def _draw(self, frames: Sequence[np.ndarray], ids: Sequence[np.ndarray]) -> np.ndarray:
        captions = [f"source: {self.source.caption}", f"target: {self.target.caption}"]
        return contact_sheet(frames, ids, captions, columns=2, width=self._size[1])


def why_no_window() -> str | None:
    """Why no window can be shown; None where one can."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display for a window"
    return None if cv2.currentUIFramework() else "OpenCV has no windows here"


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
    chosen: Point | None = None
    try:
        _show(draw(chosen))
        while cv2.waitKey(WAIT_MS) & 0xFF not in QUIT_KEYS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1:
            if clicks:
                chosen = clicks[-1]
                clicks.clear()
                _show(draw(chosen))
    finally:
        cv2.destroyAllWindows()
    return chosen


def _show(picture: np.ndarray) -> None:
    cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
