"""Reading frames and masks, writing masks."""

import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from util.errors import InputError
from util.files import atomic_path
from util.palette import voc_palette

JPEG_END = b"\xff\xd9"
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts frame2 before frame10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.stem)]


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order; hidden files are ignored.

    Raises:
        InputError: the folder is missing or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; check the path and the name of the video")
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise InputError(f"folder {folder} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(paths, key=natural_key)


def open_picture(path: Path) -> Image.Image:
    """A picture with its pixels loaded.

    Raises:
        InputError: the file is missing, truncated or not a picture.
    """
    try:
        picture = Image.open(path)
        picture.load()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error
    return picture


def read_frame(path: Path) -> np.ndarray:
    """A frame as RGB, shape (H, W, 3), uint8.

    Raises:
        InputError: the file is missing, truncated or not a picture.
    """
    if path.suffix.lower() in (".jpg", ".jpeg") and path.is_file():
        content = path.read_bytes()
        if content.endswith(JPEG_END):  # OpenCV is faster; PIL is stricter with the others
            frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            if frame is not None:
                return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=frame)
    picture = open_picture(path)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_ids(path: Path) -> np.ndarray:
    """The object ids of a mask file, shape (H, W), uint8; 0 is background.

    Palette and grey PNGs hold the ids themselves; a one-bit PNG holds 0 and 1.

    Raises:
        InputError: the file cannot be read, is a colour picture, or holds ids above 255.
    """
    picture = open_picture(path)
    if picture.mode == "1":
        return np.array(picture, dtype=np.uint8)
    if picture.mode in ("P", "L"):
        return np.array(picture)
    if picture.mode.startswith("I"):
        ids = np.array(picture)
        if ids.min() < 0 or ids.max() > 255:
            raise InputError(f"mask {path} holds id {ids.max()}; renumber its objects to 1..255")
        return ids.astype(np.uint8)
    raise InputError(f"mask {path} is a colour picture ({picture.mode}); save object ids as a palette or grey PNG")


def read_written_ids(path: Path) -> np.ndarray:
    """What `write_ids` has written: ids (H, W), uint8 or uint16."""
    return np.array(open_picture(path))


def write_ids(path: Path, ids: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write object ids (H, W) as a palette PNG, or as a 16-bit grey one if they are uint16.

    Args:
        path: of the PNG.
        ids: of the objects, 0 is background.
        palette: colours of the ids 0..255, (256, 3), uint8; the DAVIS palette by default.
    """
    if ids.dtype == np.uint16:
        _save_png(path, Image.fromarray(ids))
        return
    picture = Image.fromarray(ids.astype(np.uint8, copy=False))
    picture.putpalette((voc_palette() if palette is None else palette).tobytes())
    _save_png(path, picture)


def write_binary(path: Path, mask: np.ndarray) -> None:
    """Write a mask (H, W), bool, as an 8-bit grey PNG with the values 0 and 255."""
    _save_png(path, Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)))


def _save_png(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=1)
