"""Frames of a video side by side with the outlines of their objects."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.mask_files import voc_palette
from util.files import atomic_path

MARGIN = 12
CAPTION_HEIGHT = 24
FONT_SIZE = 14
OUTLINE_WIDTH = 2
FILL_OPACITY = 0.3
BACKGROUND = (255, 255, 255)
TEXT_COLOUR = (40, 40, 40)


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


def write_contact_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write a sheet (H, W, 3), uint8, as a PNG."""
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")
