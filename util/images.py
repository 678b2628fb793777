"""Reading frames and masks, writing masks."""

import io
import re
import stat
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from datasets.smooth_edges import SmoothEdges, find_smooth_edges
from util.errors import InputError
from util.files import atomic_path
from util.palette import voc_palette

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
JPEG_SUFFIXES = frozenset({".jpeg", ".jpg"})
MAX_PIXELS = 1 << 27  # 11,585 x 11,585; more is a damaged or hostile header
GREY_STEPS = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies the values of 2- and 4-bit grey
CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
HALF_BRIGHTNESS = 127
RANGES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits
BLOCK_READS = 1 << 16
ORIENTATION = 0x0112  # among the tags of EXIF


class SmoothMaskError(InputError):
    """A mask whose edges were smoothed, so that their values are no ids."""


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
            _check_size(path, *picture.size)
            samples = str(picture.tile[0][3]) if picture.tile else picture.mode
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # of a phone: the first is the picture
                raise InputError(f"{path} holds {picture.n_frames} pictures; split it into one file for each")
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


def read_frame(path: Path, white: int | None = None) -> np.ndarray:
    """A frame as RGB, shape (H, W, 3), uint8, turned upright where the file asks for it.

    Args:
        path: of the picture.
        white: the value of a 16-bit picture that becomes 255, see `white_level`; by default that of the picture
            itself. 0 where the video has 8 bits.

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
    if white is not None and bool(white) != (values is not None):
        found, first = (8, 16) if values is None else (16, 8)
        raise InputError(f"{path} has {found} bits, the video's first frame {first}; export all frames alike")
    if values is not None:
        return _to_bytes(values, white or _range_of(int(values.max())), path)
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
    if not any(content.find(mark, 0, BLOCK_READS) >= 0 for mark in (b"Exif\0\0", b"http://ns.adobe.com/xap/")):
        return frame
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as header:
            warnings.simplefilter("ignore")
            turn = header.getexif().get(ORIENTATION, 1)
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
        if stored is not None and stored.dtype == np.uint16 and stored.ndim == 3:
            return _turn(stored[..., 2::-1], picture.info["orientation"])
    return None


def is_deep(path: Path) -> bool:
    """Whether a picture has more than 8 bits a channel.

    Raises:
        InputError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        is_jpeg = file.read(2) == b"\xff\xd8"
    return not is_jpeg and _deep_values(open_picture(path), path) is not None


def white_level(paths: Iterable[Path]) -> int | None:
    """What counts as white in these frames of one video; None where they have 8 bits.

    The values of 10-, 12- and 14-bit cameras come in files of 16 bits: white is the smallest of these ranges that
    holds all values.

    Raises:
        InputError: a frame cannot be read.
    """
    deep = (_deep_values(open_picture(path), path) for path in paths)
    largest = max((int(values.max()) for values in deep if values is not None), default=None)
    return None if largest is None else _range_of(largest)


def read_frames(paths: Sequence[Path]) -> list[np.ndarray]:
    """Some frames of one video as `read_frame` gives them, with one range where they have 16 bits.

    Raises:
        InputError: a frame cannot be read.
    """
    white = white_level(paths) if is_deep(paths[0]) else None
    return [read_frame(path, white) for path in paths]


def _range_of(largest: int) -> int:
    return next(white for white in RANGES if largest <= white)


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


def open_mask(path: Path) -> Image.Image:
    """A picture with its pixels loaded as they are stored: PIL scales grey of 2 and 4 bits, which is undone.

    Raises:
        InputError: the file is missing, truncated or not a picture.
    """
    picture = open_picture(path)
    step = next((step for form, step in GREY_STEPS.items() if form in picture.info["samples"]), 1)
    return picture if step == 1 or picture.mode != "L" else Image.fromarray(np.array(picture) // step)


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
