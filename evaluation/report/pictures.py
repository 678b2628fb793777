"""Pictures of frames: objects, heat and points drawn in, and contact sheets of many."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.boxes.boxes import Box
from datasets.mask_files import voc_palette
from util.files import atomic_path

MARGIN = 12
CAPTION_HEIGHT = 24
FONT_SIZE = 14
OUTLINE_WIDTH = 2
FILL_OPACITY = 0.3
BACKGROUND = (255, 255, 255)
TEXT_COLOUR = (40, 40, 40)
HEAT_OPACITY = 0.75
CROSS_SHARE = 0.06  # of the shorter side
POINT_COLOURS = ((255, 60, 40), (40, 220, 255), (255, 220, 30), (90, 255, 80), (255, 90, 255), (80, 130, 255))


def contact_sheet(
    frames: Sequence[np.ndarray],
    ids: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    columns: int = 4,
    width: int = 320,
) -> np.ndarray:
    """Lay frames out in rows, each with its objects drawn in and its caption below.

    Args:
        frames: RGB pictures (H, W, 3), uint8, of one size.
        ids: object ids (H, W), uint8, one for each frame; their size may differ from the frame's.
        captions: one line of text for each frame.
        columns: frames in a row.
        width: width of a frame on the sheet, in pixels.

    Returns:
        The sheet as RGB, uint8.

    Raises:
        ValueError: there is no frame, or the three sequences differ in length.
    """
    if not frames:
        raise ValueError("a contact sheet needs at least one frame")
    height = max(1, round(width * frames[0].shape[0] / frames[0].shape[1]))
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    step_x, step_y = width + MARGIN, height + CAPTION_HEIGHT + MARGIN
    sheet = Image.new("RGB", (columns * step_x + MARGIN, rows * step_y + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=FONT_SIZE)
    for index, (frame, frame_ids, caption) in enumerate(zip(frames, ids, captions, strict=True)):
        x, y = MARGIN + index % columns * step_x, MARGIN + index // columns * step_y
        outline = max(1, round(OUTLINE_WIDTH * frame.shape[1] / width))
        picture = cv2.resize(draw_objects(frame, frame_ids, outline), (width, height), interpolation=cv2.INTER_AREA)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text((x, y + height + CAPTION_HEIGHT / 2), caption, TEXT_COLOUR, font=font, anchor="lm")
    return np.array(sheet)


def draw_objects(frame: np.ndarray, ids: np.ndarray, outline: int, palette: np.ndarray | None = None) -> np.ndarray:
    """A frame (H, W, 3) with each object faintly filled, and outlined `outline` pixels wide, in its palette colour.

    Outlines lie outside the objects, so that thin ones stay visible. Ids above 255 begin the palette anew.
    """
    ids = cv2.resize(ids, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    palette = (voc_palette() if palette is None else palette)[np.arange(int(ids.max()) + 1) % 256]
    tinted = (1 - FILL_OPACITY) * frame + FILL_OPACITY * palette[ids]
    picture = np.where((ids > 0)[..., None], tinted, frame).round().astype(np.uint8)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * outline + 1, 2 * outline + 1))
    for object_id in np.unique(ids[ids > 0]):
        mask = (ids == object_id).astype(np.uint8)
        picture[cv2.dilate(mask, disk) > mask] = palette[object_id]
    return picture


def draw_box(picture: np.ndarray, box: Box, outline: int) -> None:
    """Draw a box (x, y, width, height) into a picture, in place, in the colour of the first object."""
    x, y, width, height = box
    low, high = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
    cv2.rectangle(picture, low, high, tuple(voc_palette()[1].tolist()), outline)


def overlay_heat(picture: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """A picture with maps drawn over it, each in its colour and relative to its own maximum.

    Args:
        picture: RGB (H, W, 3), uint8.
        maps: (C, H, W), not negative; a map of zeros leaves no trace.

    Returns:
        RGB (H, W, 3), uint8.
    """
    shown = picture.astype(np.float32)
    for number, heat in enumerate(maps):
        opacity = HEAT_OPACITY * (heat / max(heat.max(), np.finfo(np.float32).tiny))[..., None]
        shown = (1 - opacity) * shown + opacity * np.array(colour_of(number), np.float32)
    return shown.round().astype(np.uint8)


def mark_points(picture: np.ndarray, points: Sequence[tuple[int, int]]) -> np.ndarray:
    """A picture (H, W, 3), uint8, with a cross on each point (x, y), in the colour of the point's heat."""
    marked = picture.copy()
    arm = max(7, round(CROSS_SHARE * min(picture.shape[:2])))
    for number, point in enumerate(points):
        for colour, thickness in (((0, 0, 0), 3), (colour_of(number), 1)):
            cv2.drawMarker(marked, point, colour, cv2.MARKER_CROSS, arm, thickness)
    return marked


def colour_of(number: int) -> tuple[int, int, int]:
    """RGB of a point; the colours come round again."""
    return POINT_COLOURS[number % len(POINT_COLOURS)]


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, RGB (H, W, 3), uint8, as a PNG."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
