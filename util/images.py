"""Pictures: which files of a folder are ones, and opening them strictly."""

import re
import stat
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from util.errors import InputError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 1 << 27  # 11,585 x 11,585; more is a damaged or hostile header
CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
ORIENTATION = 0x0112  # among the tags of EXIF


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.stem)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]


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
    """Pictures of a folder in natural order; hidden files, and folders named like pictures, are left out.

    Raises:
        InputError: the folder is missing or holds no picture, a pipe, a device or a broken link is named like one, or a
            name is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; check the path and the name of the video")
    named = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(p.name)]
    paths = [path for path in named if path.is_file()]
    for path in named:
        if not path.is_file() and not path.is_dir():
            raise InputError(f"{path} is a pipe, a device or a broken link, and no picture; remove it")
    if not paths:
        raise InputError(f"folder {folder} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    for path in paths:
        require_text(path)
    return sorted(paths, key=natural_key)


def open_picture(path: Path) -> Image.Image:
    """A picture with its pixels loaded, turned upright where the file asks for it (EXIF).

    Its `info["samples"]` tells how the file stores them, as Pillow names it (`L;2`, `RGB;16B`, ...), and
    `info["orientation"]` from which of EXIF's orientations it was turned.

    Raises:
        InputError: the file is missing, truncated, not a picture, or of an absurd size.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no file; leave it out")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bombs are refused below; damaged EXIF data turn nothing
            picture = Image.open(path)
            if not 0 < picture.width * picture.height <= MAX_PIXELS:
                raise absurd_size(path, *picture.size)
            samples = str(picture.tile[0][3]) if picture.tile else picture.mode
            count = getattr(picture, "n_frames", 1)
            if count > 1 and picture.format != "MPO":  # of a phone: the first is the picture
                raise InputError(f"{path} holds {count} pictures; split it into one file for each")
            picture.load()
            orientation = picture.getexif().get(ORIENTATION, 1) if picture.format != "TIFF" else 1
            ImageOps.exif_transpose(picture, in_place=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} claims to be larger than {MAX_PIXELS} pixels; fetch or export it again") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error
    picture.info |= {"samples": samples, "orientation": orientation}
    return picture


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, upright, from its header.

    Raises:
        InputError: the file is missing or not a picture.
    """
    try:
        with Image.open(path) as picture:
            # A TIFF's size is turned already; to look for what a PNG has behind its pixels would read these.
            is_told = picture.format != "TIFF" and (picture.format != "PNG" or "exif" in picture.info)
            turned = is_told and picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            return (picture.width, picture.height) if turned else (picture.height, picture.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch or export it again") from error


def absurd_size(path: Path, width: int, height: int) -> InputError:
    """The error for a picture that claims to have no pixel, or more than `MAX_PIXELS`."""
    return InputError(f"{path} claims {width}x{height} pixels; fetch or export it again")
