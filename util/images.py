"""Reading frames and masks, writing masks."""

import io
import re
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from util.errors import InputError
from util.files import atomic_path
from util.palette import voc_palette

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
JPEG_SUFFIXES = frozenset({".jpeg", ".jpg"})
MAX_PIXELS = 1 << 27  # 11,585 x 11,585; more is a damaged or hostile header
SCALES_OF_GREY = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies the values of 2- and 4-bit grey
RANGES = (1023, 4095, 16383, 65535)  # of 10, 12, 14 and 16 bits
BLOCK_READS = 1 << 16


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.stem)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]


def is_meant(name: str) -> bool:
    """Whether a file or folder was put there by a person: not hidden, and not left behind by a file manager."""
    return not name.startswith(".") and name not in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_picture(path: Path) -> bool:
    """Whether a path is named like a picture, and is a file that can be read to its end (no pipe, no device)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and is_meant(path.name) and path.is_file()


def list_images(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order; hidden files, and what is no regular file, are left out.

    Raises:
        InputError: the folder is missing or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; check the path and the name of the video")
    paths = [path for path in folder.iterdir() if is_picture(path)]
    if not paths:
        raise InputError(f"folder {folder} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(paths, key=natural_key)


def open_picture(path: Path) -> Image.Image:
    """A picture with its pixels loaded, turned upright where the file asks for it (EXIF).

    Its `info["samples"]` tells how the file stores them, as Pillow names it (`L;2`, `RGB;16B`, ...).

    Raises:
        InputError: the file is missing, truncated, not a picture, or of an absurd size.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no file; leave it out")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
            _check_size(path, *picture.size)
            samples = str(picture.tile[0][3]) if picture.tile else picture.mode
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(f"{path} holds {picture.n_frames} pictures; split it into one file for each")
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} claims to be larger than {MAX_PIXELS} pixels; fetch or export it again") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error
    picture.info["samples"] = samples
    return picture


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, upright, from its header.

    Raises:
        InputError: the file is missing or not a picture.
    """
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8) and picture.format != "TIFF"  # turned already
            return (picture.width, picture.height) if turned else (picture.height, picture.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error


def read_frame(path: Path, white: int | None = None) -> np.ndarray:
    """A frame as RGB, shape (H, W, 3), uint8, turned upright where the file asks for it.

    Args:
        path: of the picture.
        white: the value of a 16-bit picture that becomes 255, see `white_level`; None takes the widest of its kind.

    Raises:
        InputError: the file is missing, truncated or not a picture, its data are corrupt as far as the decoder can
            tell, or a value lies above `white`.
    """
    path = Path(path)
    if path.suffix.lower() in JPEG_SUFFIXES and path.is_file():
        content = path.read_bytes()
        if content.startswith(b"\xff\xd8"):
            return _read_jpeg(path, content)
    picture = open_picture(path)
    values = _deep_values(picture, path)
    if values is not None:
        return _to_bytes(values, RANGES[-1] if white is None else white, path)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _read_jpeg(path: Path, content: bytes) -> np.ndarray:
    """Decoded strictly: what the decoder would mend in silence is an error, since the picture would be wrong."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=True)
        _check_size(path, width, height)
        if colours in ("CMYK", "YCCK"):
            return np.array(open_picture(path).convert("RGB"))
        frame = simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error
    if content.find(b"Exif\0\0", 0, BLOCK_READS) < 0:
        return frame
    try:
        with Image.open(io.BytesIO(content)) as header:
            turn = header.getexif().get(0x0112, 1)
    except (OSError, SyntaxError, ValueError):
        return frame
    return np.ascontiguousarray(_turn(frame, turn))


def _turn(frame: np.ndarray, orientation: int) -> np.ndarray:
    """A frame stored in one of the orientations of EXIF (1 to 8), upright."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    turned = np.rot90(frame, turns)
    return turned[:, ::-1] if orientation in (2, 4, 5, 7) else turned


def _deep_values(picture: Image.Image, path: Path) -> np.ndarray | None:
    """The values of a picture of more than 8 bits a channel, (H, W) or (H, W, 3), upright; None for others.

    Raises:
        InputError: it holds fractions or negative numbers.
    """
    if picture.mode == "F":
        raise InputError(f"{path} holds fractions, whose white is not known; export it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        values = np.array(picture)
        if values.min() < 0 or values.max() > RANGES[-1]:
            raise InputError(f"{path} holds values outside of 0..{RANGES[-1]}; export it with 8 or 16 bits")
        return values.astype(np.uint16)
    if picture.mode in ("RGB", "RGBA") and "16" in picture.info["samples"]:
        stored = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.dtype == np.uint16 and stored.shape[:2] == (picture.height, picture.width):
            return stored[..., 2::-1]
    return None


def is_deep(path: Path) -> bool:
    """Whether a picture has more than 8 bits a channel.

    Raises:
        InputError: it cannot be read.
    """
    return path.suffix.lower() not in JPEG_SUFFIXES and _deep_values(open_picture(path), path) is not None


def white_level(paths: Iterable[Path]) -> int | None:
    """What counts as white in these frames of one video; None where they have 8 bits.

    The values of 10-, 12- and 14-bit cameras come in files of 16 bits: white is the smallest of these ranges that
    holds all values.

    Raises:
        InputError: a frame cannot be read.
    """
    deep = (_deep_values(open_picture(path), path) for path in paths)
    largest = max((int(values.max()) for values in deep if values is not None), default=None)
    return None if largest is None else next(white for white in RANGES if largest <= white)


def _to_bytes(values: np.ndarray, white: int, path: Path) -> np.ndarray:
    if values.max() > white:
        raise InputError(
            f"{path} holds the value {values.max()}, but the video began with values up to {white}; "
            "export all frames with one range"
        )
    grey = (values.astype(np.uint32) * 255 + white // 2) // white
    pixels = grey.astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)


def _check_size(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise InputError(f"{path} claims {width}x{height} pixels; fetch or export it again")


def sample_values(picture: Image.Image) -> np.ndarray:
    """The values of a grey or palette picture from `open_picture` as the file has them, (H, W).

    Pillow spreads grey values of 2 and 4 bits over 0..255; this takes it back.
    """
    values = np.array(picture)
    scale = next((s for form, s in SCALES_OF_GREY.items() if form in picture.info.get("samples", "")), 1)
    return values if scale == 1 else values // scale


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
        return sample_values(picture)
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
