"""Object masks in the forms in which people have them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.pairs import VOID
from util.errors import InputError
from util.images import natural_key, open_picture
from util.palette import voc_palette

MAX_ID = 65535
MAX_COLOURS = 255
BINARY_THRESHOLD = 127
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg"})
LOSSY_FORMATS = frozenset({"JPEG", "MPO"})


class MaskReader:
    """Reads the masks of one video; a colour means the same object in all of them.

    Palette, grey and one-bit pictures hold the ids themselves. In RGB and RGBA pictures each colour but black is an
    object. Fully transparent pixels are background. Colours are numbered as they appear, those of one file in the
    order of their red, green and blue. An RGB picture that is grey throughout counts as grey, unless colours have been
    read before it.
    """

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._file_palette: np.ndarray | None = None

    @property
    def palette(self) -> np.ndarray:
        """Colours of the ids 0..255 as in the masks read so far, (256, 3), uint8.

        They are those of the first palette file, else of the colour-coded files, else the VOC colours.
        """
        if self._file_palette is not None:
            return self._file_palette.copy()
        palette = voc_palette()
        for code, object_id in self._ids.items():
            palette[object_id] = code >> 16, code >> 8 & 255, code & 255
        return palette

    def read(self, path: Path) -> np.ndarray:
        """The object ids of a mask, (H, W), uint16; 0 is background.

        255 is void, which becomes background, where a palette or 8-bit grey mask holds other ids; else it is an object.

        Raises:
            InputError: the file cannot be read, is a JPEG, holds ids above 65535, or is of too many colours.
        """
        if path.suffix.lower() in LOSSY_SUFFIXES:
            raise _lossy(path)
        picture = open_picture(path)
        if picture.format in LOSSY_FORMATS:
            raise _lossy(path)
        if picture.mode == "1":
            return np.array(picture).astype(np.uint16)
        if picture.mode == "P":
            self._keep_palette(picture)
            return _without_void(np.array(picture))
        if picture.mode in ("L", "LA"):
            opaque = np.array(picture.getchannel("A")) > 0 if picture.mode == "LA" else True
            return _without_void(np.array(picture.getchannel("L")) * opaque)
        if picture.mode.startswith("I"):
            return _wide_ids(picture, path)
        if picture.mode in ("RGB", "RGBA"):
            return self._coloured(picture, path)
        raise InputError(f"mask {path} is of an unknown kind ({picture.mode}); save it as a palette or RGB PNG")

    def _keep_palette(self, picture: Image.Image) -> None:
        if self._file_palette is None:
            colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
            self._file_palette = np.zeros((256, 3), np.uint8)
            self._file_palette[: len(colours)] = colours

    def _coloured(self, picture: Image.Image, path: Path) -> np.ndarray:
        pixels = np.array(picture.convert("RGBA"))
        pixels[pixels[..., 3] == 0] = 0
        red, green, blue = np.moveaxis(pixels[..., :3], -1, 0)
        if not self._ids and (red == green).all() and (green == blue).all():
            return _without_void(red)
        codes = red.astype(np.int32) << 16 | green.astype(np.int32) << 8 | blue
        colours, inverse = np.unique(codes, return_inverse=True)
        new = [code for code in colours.tolist() if code and code not in self._ids]
        if len(self._ids) + len(new) > MAX_COLOURS:
            raise InputError(
                f"mask {path} brings the masks to more than {MAX_COLOURS} colours, as a photo or a lossy mask would; "
                f"save the masks as PNG without anti-aliasing"
            )
        self._ids.update(zip(new, range(len(self._ids) + 1, MAX_COLOURS + 1), strict=False))
        ids = np.array([self._ids.get(code, 0) for code in colours.tolist()], np.uint16)
        return ids[inverse].reshape(codes.shape)


def read_objects(paths: Sequence[Path]) -> np.ndarray:
    """One mask from one black and white picture per object, ids (H, W), uint16; 0 is background.

    An object is where its picture is brighter than 127, or is not zero if it is a palette, one-bit or 16-bit picture.
    The ids are the names of the files where these are distinct numbers from 1 to 65535, else 1, 2, ... in natural
    order. Where objects overlap, the one that comes later in natural order wins.

    Raises:
        InputError: a picture cannot be read or differs in size from the first.
        ValueError: there is no picture.
    """
    if not paths:
        raise ValueError("no picture of an object is given")
    paths = sorted(paths, key=natural_key)
    ids: np.ndarray | None = None
    for path, object_id in zip(paths, _object_ids(paths), strict=True):
        mask = _binary(path)
        if ids is None:
            ids = np.zeros(mask.shape, np.uint16)
        if mask.shape != ids.shape:
            raise InputError(
                f"mask {path} is {mask.shape[1]}x{mask.shape[0]} but {paths[0]} is {ids.shape[1]}x{ids.shape[0]}; "
                f"export the masks at one size"
            )
        ids[mask] = object_id
    return ids


def _object_ids(paths: Sequence[Path]) -> list[int]:
    stems = [path.stem for path in paths]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    is_numbered = len(set(numbers)) == len(stems) and all(0 < number <= MAX_ID for number in numbers)
    return numbers if is_numbered else list(range(1, len(stems) + 1))


def _binary(path: Path) -> np.ndarray:
    picture = open_picture(path)
    if picture.mode in ("1", "P") or picture.mode.startswith("I"):
        return np.array(picture) > 0
    mask = np.array(picture.convert("L")) > BINARY_THRESHOLD
    if "A" in picture.getbands():
        mask &= np.array(picture.getchannel("A")) > 0
    return mask


def _without_void(ids: np.ndarray) -> np.ndarray:
    """Ids as uint16, 255 being background if there are others."""
    is_void = ids == VOID
    wide = ids.astype(np.uint16)
    if ((ids > 0) & ~is_void).any():
        wide[is_void] = 0
    return wide


def _wide_ids(picture: Image.Image, path: Path) -> np.ndarray:
    ids = np.array(picture)
    if ids.min() < 0 or ids.max() > MAX_ID:
        raise InputError(f"mask {path} holds ids outside 0..{MAX_ID}; renumber its objects")
    return ids.astype(np.uint16)


def _lossy(path: Path) -> InputError:
    return InputError(f"mask {path} is a JPEG, whose compression blurs the ids; save it as PNG")
