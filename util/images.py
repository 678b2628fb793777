"""Reading frames and masks, writing masks."""

import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from util.errors import InputError
from util.files import atomic_path
from util.palette import voc_palette
from util.smooth_edges import SmoothEdges, find_smooth_edges

JPEG_END = b"\xff\xd9"
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
HALF_BRIGHTNESS = 127
GREY_STEPS = {"L;2": 85, "L;4": 17}


class SmoothMaskError(InputError):
    """A mask whose edges were smoothed, so that their values are no ids."""


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts frame2 before frame10; signs such as ² and ① are letters."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.stem)]


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or is left behind by a desktop (Thumbs.db, __MACOSX)."""
    return name.startswith(".") or name.lower() in CLUTTER


def require_text(path: Path) -> None:
    """Refuse a file or folder whose own name is no text, since it can be neither printed nor packed.

    Raises:
        InputError: the name is not UTF-8.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise InputError(f"the name of {shown} is not UTF-8; rename it") from error


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order; hidden files are ignored.

    Raises:
        InputError: the folder is missing or holds no picture, or a name is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; check the path and the name of the video")
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(p.name)]
    if not paths:
        raise InputError(f"folder {folder} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    for path in paths:
        require_text(path)
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


def open_mask(path: Path) -> Image.Image:
    """A picture with its pixels loaded as they are stored: PIL scales grey of 2 and 4 bits, which is undone.

    Raises:
        InputError: the file is missing, truncated or not a picture.
    """
    picture = open_picture(path)
    if picture.mode != "L":
        return picture
    with Image.open(path) as header:
        layout = header.tile[0][3] if header.tile else ""
    layout = layout if isinstance(layout, str) else str(layout[0])
    step = GREY_STEPS.get(layout[:3], 1)
    return picture if step == 1 else Image.fromarray(np.array(picture) // step)


def read_ids(path: Path, *, checked: bool = True) -> np.ndarray:
    """The object ids of a mask file, shape (H, W), uint8; 0 is background.

    Palette and grey PNGs hold the ids themselves; a one-bit PNG holds 0 and 1.

    Args:
        path: of the mask.
        checked: refuse smoothed edges; results of ours have none.

    Raises:
        InputError: the file cannot be read, is a colour picture, holds ids above 255, or has smoothed edges.
    """
    return _checked_ids(open_mask(path), path, checked)


def _checked_ids(picture: Image.Image, path: Path, checked: bool) -> np.ndarray:
    if picture.mode == "1":
        return np.array(picture, dtype=np.uint8)
    if picture.mode.startswith("I"):
        ids = np.array(picture)
        if ids.min() < 0 or ids.max() > 255:
            raise InputError(f"mask {path} holds id {ids.max()}; renumber its objects to 1..255")
        ids = ids.astype(np.uint8)
    elif picture.mode in ("P", "L"):
        ids = np.array(picture)
    else:
        raise InputError(f"mask {path} is a colour picture ({picture.mode}); save object ids as a palette or grey PNG")
    edges = find_edges(picture, ids) if checked else None
    if edges is not None:
        raise smooth_mask_error(path, edges)
    return ids


def find_edges(picture: Image.Image, labels: np.ndarray) -> SmoothEdges | None:
    """What smoothing left in a grey or palette picture with these values, (H, W).

    In a palette picture it may have been the ids or the colours that were mixed.
    """
    edges = find_smooth_edges(labels)
    if edges is None and picture.mode == "P":
        colours = np.zeros((256, 3))
        known = np.array(picture.getpalette("RGB"), float).reshape(-1, 3)[:256]
        colours[: len(known)] = known
        edges = find_smooth_edges(labels, colours)
    return edges


def smooth_mask_error(path: Path, edges: SmoothEdges, remedy: str = "export it without smoothing") -> SmoothMaskError:
    """Why a mask with smoothed edges is refused."""
    solid = [", ".join(f"{part:g}" for part in edges.colours[value]) for value in edges.solid[:5]]
    values = "values" if edges.colours.shape[1] == 1 else "colours"
    more = ", ..." if len(edges.solid) > 5 else ""
    solids = ("; " if edges.colours.shape[1] > 1 else ", ").join(solid)
    return SmoothMaskError(
        f"mask {path} has smoothed edges: {len(edges.mixed)} of its {values} lie only along edges, between the"
        f" {len(edges.solid)} of its areas ({solids}{more}), and are no objects; {remedy}"
    )


def read_foreground(path: Path, *, checked: bool = True) -> tuple[np.ndarray, bool]:
    """Where a mask file has any object, uint8 (H, W) in {0, 1}, and whether it was cut at half brightness.

    Every value above 0 counts, but a grey mask with smoothed edges whose brightest value is 255 counts above 127.

    Args:
        path: of the mask.
        checked: look for smoothed edges.

    Raises:
        InputError: as for `read_ids`.
    """
    picture = open_mask(path)
    if checked and picture.mode == "L":
        values = np.array(picture)
        if values.max() == 255 and find_smooth_edges(values) is not None:
            return (values > HALF_BRIGHTNESS).astype(np.uint8), True
    return (_checked_ids(picture, path, checked) > 0).astype(np.uint8), False


def brightness_of_object(path: Path) -> np.ndarray:
    """The mask of a single object as grey (H, W) uint8, above 127 where the object is.

    Palette, one-bit and 16-bit pictures show it where they are not 0; grey and colour pictures where they are brighter
    than 127, or, if they nowhere are, not 0. Fully transparent pixels do not count.

    Raises:
        InputError: the file cannot be read, or is dark and has smoothed edges.
    """
    picture = open_mask(path)
    if picture.mode in ("1", "P") or picture.mode.startswith("I"):
        return ((np.array(picture) > 0) * 255).astype(np.uint8)
    grey = np.array(picture if picture.mode == "L" else picture.convert("RGB").convert("L"))
    if "A" in picture.getbands():
        grey = grey * (np.array(picture.getchannel("A")) > 0)
    if grey.max() > HALF_BRIGHTNESS:
        return grey
    edges = find_smooth_edges(grey)
    if edges is not None:
        raise smooth_mask_error(path, edges)
    return ((grey > 0) * 255).astype(np.uint8)


def read_written_ids(path: Path) -> np.ndarray:
    """What `write_ids` has written: ids (H, W), uint8 or uint16."""
    return np.array(open_mask(path))


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
