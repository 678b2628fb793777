"""Object masks in the forms in which people have them: which value or colour is an object, void or background."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor

from datasets.mask_files import MAX_ID, VOID, open_mask, voc_palette
from datasets.smooth_edges import SmoothEdges, find_edges, find_smooth_edges, smooth_mask_error
from util.errors import InputError

MAX_COLOURS = 255
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg"})
LOSSY_FORMATS = frozenset({"JPEG", "MPO"})
WHOLE_BORDER, MOST_OF_FRAME = 0.9, 0.5
PART_OF_BORDER = 0.5
VOID_WIDTH = 9
NO_SMOOTHING = "export it without smoothing"

Value = int | tuple[int, int, int]


@dataclass(frozen=True)
class MaskRules:
    """What the values of masks mean where the masks do not say.

    Attributes:
        background, void: an id, or a colour (red, green, blue), that is no object; None where none is named.
        snap: whether smoothed edges go to the objects around them (True) or are objects (False); None refuses them.
        void_beside_ids: 255 is no object where palette or 8-bit grey masks hold others (YouTube-VOS).
        can_be_asked: whether the command line has --start, --background, --void and --snap, which messages then name.
    """

    background: Value | None = None
    void: Value | None = None
    snap: bool | None = None
    void_beside_ids: bool = False
    can_be_asked: bool = True


def parse_value(text: str) -> Value:
    """An id, or a colour as #rrggbb, r,g,b or a name such as white.

    Raises:
        ValueError: it is none of these.
    """
    if text.isascii() and text.isdecimal():
        number = int(text[:6])
        if len(text) > 5 or number > MAX_ID:
            raise ValueError(f"{text} is above {MAX_ID}")
        return number
    parts = text.split(",")
    if len(parts) == 3:
        red, green, blue = (int(part) for part in parts)
        if not all(0 <= part <= 255 for part in (red, green, blue)):
            raise ValueError(f"{text} is not a colour")
        return red, green, blue
    return ImageColor.getrgb(text)[:3]


class MaskReader:
    """Reads the masks of one video; a colour means the same object in all of them.

    Palette, grey and one-bit pictures hold the ids themselves. In RGB and RGBA pictures each colour but black is an
    object. Fully transparent pixels are background. Colours are numbered as they appear, those of one file in the
    order of their red, green and blue. An RGB picture that is grey throughout counts as grey, unless colours have been
    read before it.

    Which value is the background is decided by the first mask, for all of the video: 0 or black, unless the rules name
    another; in a palette whose colour 0 is not black, the black one that lies along the border; in RGB pictures
    without black, the one colour that covers the border and most of the frame.

    Args:
        rules: what values mean where the masks do not say.
    """

    def __init__(self, rules: MaskRules | None = None) -> None:
        self._rules = rules or MaskRules()
        self._ids: dict[int, int] = {}
        self._file_palette: np.ndarray | None = None
        self._background: int | None = None
        self._is_swapped = False
        self._remarks: dict[Path, list[str]] = {}

    @property
    def palette(self) -> np.ndarray:
        """Colours of the ids 0..255 as in the masks read so far, (256, 3), uint8.

        They are those of the first palette file, else of the colour-coded files, else the VOC colours.
        """
        if self._file_palette is not None:
            palette = self._file_palette.copy()
            if self._is_swapped and self._background is not None:
                palette[[0, self._background]] = palette[[self._background, 0]]
            return palette
        palette = voc_palette()
        for code, object_id in self._ids.items():
            palette[object_id] = _colour(code)
        if self._ids and self._background:
            palette[0] = _colour(self._background)
        return palette

    @property
    def has_colours(self) -> bool:
        """Whether masks tell objects by colours."""
        return bool(self._ids) or (self._is_swapped and self._file_palette is not None)

    def remarks(self, path: Path) -> tuple[str, ...]:
        """What may surprise in a mask that has been read."""
        return tuple(self._remarks.get(path, ()))

    def read(self, path: Path) -> np.ndarray:
        """The object ids of a mask, (H, W), uint16; 0 is background.

        Raises:
            InputError: the file cannot be read, is a JPEG, holds ids above 65535, is of too many colours, has smoothed
                edges that the rules do not allow, or does not tell which colour is the background.
        """
        if path.suffix.lower() in LOSSY_SUFFIXES:
            raise _lossy(path)
        picture = open_mask(path)
        if picture.format in LOSSY_FORMATS:
            raise _lossy(path)
        remarks: list[str] = []
        self._remarks[path] = remarks
        if picture.mode in ("RGB", "RGBA", "PA"):
            return self._coloured(picture, path, remarks)
        if picture.mode == "1":
            values, clear = np.array(picture).astype(np.uint8), None
        elif picture.mode == "P":
            self._keep_palette(picture)
            values, clear = np.array(picture), None
        elif picture.mode in ("L", "LA"):
            values = np.array(picture.getchannel("L"))
            clear = np.array(picture.getchannel("A")) == 0 if picture.mode == "LA" else None
        elif picture.mode.startswith("I"):
            values, clear = _wide_ids(picture, path), None
        else:
            raise InputError(f"mask {path} is of an unknown kind ({picture.mode}); save it as a palette or RGB PNG")
        return self._plain(picture, values, clear, path, remarks)

    def _plain(
        self, picture: Image.Image, values: np.ndarray, clear: np.ndarray | None, path: Path, remarks: list[str]
    ) -> np.ndarray:
        """The ids of a picture whose values are ids."""
        if clear is not None:
            values = values * ~clear
        values = self._snapped(values, find_edges(picture, values), path, remarks)
        colours = self._file_palette if picture.mode == "P" else None
        if self._background is None:
            named = self._id_of(self._rules.background, colours, path)
            self._background = self._background_id(values, colours, remarks) if named is None else named
        background, ids = self._background, values.astype(np.uint16)
        if background:
            self._is_swapped = True
            ids[values == background] = 0
            ids[(values == 0) & (True if clear is None else ~clear)] = background
        self._drop_void(ids, values, colours, picture.mode, path, remarks)
        self._remark_on_border(ids, remarks)
        return ids

    def _background_id(self, values: np.ndarray, colours: np.ndarray | None, remarks: list[str]) -> int:
        if colours is None or not colours[0].any():
            return 0
        border, shares, frame = _border(values)
        for value, share in zip(border, shares, strict=True):
            covers = share >= WHOLE_BORDER and (frame == value).mean() > MOST_OF_FRAME
            is_black = share >= PART_OF_BORDER and not colours[value].any()
            if value and (covers or is_black):
                remarks.append(
                    f"id {value} ({_hex(colours[value])}) is the background, id 0 ({_hex(colours[0])}) is not"
                )
                return value
        return 0

    def _id_of(self, value: Value | None, colours: np.ndarray | None, path: Path) -> int | None:
        """The id that a rule names in a picture of ids."""
        if value is None or isinstance(value, int):
            return value
        if colours is not None:
            found = np.flatnonzero((colours == value).all(1))
            if len(found):
                return int(found[0])
        elif len(set(value)) == 1:
            return value[0]
        raise InputError(f"mask {path} has no colour {_hex(value)}; name an id, such as --background 0")

    def _drop_void(
        self,
        ids: np.ndarray,
        values: np.ndarray,
        colours: np.ndarray | None,
        mode: str,
        path: Path,
        remarks: list[str],
    ) -> None:
        """Turn void into background, in place."""
        named = self._id_of(self._rules.void, colours, path)
        if named is not None:
            ids[ids == named] = 0
            return
        is_void = values == VOID
        if mode.startswith("I") or not is_void.any() or not (ids[~is_void] > 0).any() or self._background == VOID:
            return
        if self._rules.void_beside_ids:
            remarks.append("255 is void, as other ids stand beside it")
        elif colours is not None and (colours[VOID] == voc_palette()[VOID]).all() and _is_thin(is_void):
            remarks.append("255 is void, as in PASCAL VOC: it only runs along edges")
        else:
            if colours is None:
                remarks.append("255 is an object like others" + (" (--void 255 if not)" * self._rules.can_be_asked))
            return
        ids[is_void] = 0

    def _remark_on_border(self, ids: np.ndarray, remarks: list[str]) -> None:
        border, shares, _ = _border(ids)
        share = float((ids == border[0]).mean())
        if border[0] and shares[0] >= WHOLE_BORDER and share > MOST_OF_FRAME:
            named = border[0] if not self._ids else self._hex_of_id(border[0])
            remedy = f"--background {named} makes it the background" if self._rules.can_be_asked else ""
            text = f"object {border[0]} covers the whole border and {100 * share:.0f} % of the frame"
            remarks.append(f"{text}: {remedy or 'is it the background?'}")

    def _hex_of_id(self, object_id: int) -> str:
        return _hex(_colour(next(code for code, number in self._ids.items() if number == object_id)))

    def _snapped(self, labels: np.ndarray, edges: SmoothEdges | None, path: Path, remarks: list[str]) -> np.ndarray:
        """The values without smoothed edges, as the rules have it."""
        if edges is None:
            return labels
        if self._rules.snap is None:
            asked = ", or pass --snap to give its edges to the objects around them"
            raise smooth_mask_error(path, edges, NO_SMOOTHING + asked * self._rules.can_be_asked)
        if not self._rules.snap:
            remarks.append(f"{len(edges.mixed)} values along smoothed edges are objects (--no-snap)")
            return labels
        remarks.append(f"{len(edges.mixed)} values along smoothed edges went to the objects around them (--snap)")
        return edges.snap(labels)

    def _keep_palette(self, picture: Image.Image) -> None:
        if self._file_palette is None:
            colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
            self._file_palette = np.zeros((256, 3), np.uint8)
            self._file_palette[: len(colours)] = colours

    def _coloured(self, picture: Image.Image, path: Path, remarks: list[str]) -> np.ndarray:
        pixels = np.array(picture.convert("RGBA"))
        alpha = pixels[..., 3]
        clear = alpha == 0
        pixels[clear] = 0
        edges = find_smooth_edges(alpha)
        if edges is not None:
            clear = self._snapped(alpha, edges, path, remarks) == 0
            pixels[clear] = 0
        if not self._ids and (pixels[..., :3] == pixels[..., :1]).all():
            return self._plain(picture, pixels[..., 0], clear, path, remarks)
        codes = _codes(pixels)
        colours, labels = np.unique(codes, return_inverse=True)
        labels = labels.reshape(codes.shape).astype(np.uint16 if len(colours) <= MAX_ID else np.int32)
        if len(colours) <= MAX_ID:
            table = np.stack([_colour(code) for code in colours.tolist()])
            labels = self._snapped(labels, find_smooth_edges(labels, table), path, remarks)
        used = colours[np.unique(labels)].tolist()
        if len(used) - 1 > MAX_COLOURS:
            raise _too_many_colours(path)
        if self._background is None:
            self._background = self._background_code(colours, labels, clear, path, remarks)
        void = None if self._rules.void is None else _code_of(self._rules.void, path)
        objects = [code for code in used if code not in (self._background, void)]
        if not ((codes == 0) & ~clear).any() and 0 in objects:
            objects.remove(0)
        new = [code for code in objects if code not in self._ids]
        if len(self._ids) + len(new) > MAX_COLOURS:
            raise _too_many_colours(path)
        self._ids.update(zip(new, range(len(self._ids) + 1, MAX_COLOURS + 1), strict=False))
        known = {code: self._ids[code] for code in objects}
        ids = np.array([known.get(code, 0) for code in colours.tolist()], np.uint16)[labels]
        ids[clear] = 0
        self._remark_on_border(ids, remarks)
        return ids

    def _background_code(
        self, colours: np.ndarray, labels: np.ndarray, clear: np.ndarray, path: Path, remarks: list[str]
    ) -> int:
        """The colour that is the background of a colour-coded video, by its first mask.

        Raises:
            InputError: that cannot be told.
        """
        if self._rules.background is not None:
            return _code_of(self._rules.background, path)
        if (colours == 0).any() or clear.any():
            return 0
        border, shares, frame = _border(labels)
        if shares[0] >= WHOLE_BORDER and (frame == border[0]).mean() > MOST_OF_FRAME:
            code = int(colours[border[0]])
            remarks.append(f"{_hex(_colour(code))} is the background: it covers the border and there is no black")
            return code
        asked = "pass --background COLOUR (black if every colour is an object)" * self._rules.can_be_asked
        raise InputError(
            f"mask {path} has no black, and no colour that can only be the background; {asked or 'make it black'}"
        )


def _border(labels: np.ndarray) -> tuple[list[int], list[float], np.ndarray]:
    """The values along the outline of a mask, the most frequent first, their shares of it, and the mask."""
    outline = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    values, counts = np.unique(outline, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return values[order].tolist(), (counts[order] / len(outline)).tolist(), labels


def _is_thin(mask: np.ndarray) -> bool:
    """Whether no square of `VOID_WIDTH` pixels fits into the mask."""
    square = np.ones((VOID_WIDTH, VOID_WIDTH), np.uint8)
    return not cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0).any()


def _codes(pixels: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3 or 4) as numbers (H, W), int32; the order is that of red, green and blue."""
    red, green, blue = np.moveaxis(pixels[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _colour(code: int) -> np.ndarray:
    return np.array([code >> 16, code >> 8 & 255, code & 255], np.uint8)


def _hex(colour: Sequence[int] | np.ndarray) -> str:
    return "#" + bytes(int(part) for part in colour).hex()


def _code_of(value: Value, path: Path) -> int:
    """The colour that a rule names, in a colour-coded picture."""
    if isinstance(value, int):
        if value:
            raise InputError(
                f"mask {path} is colour-coded, so {value} names nothing in it; give a colour, e.g. #ffffff"
            )
        return 0
    red, green, blue = value
    return red << 16 | green << 8 | blue


def _wide_ids(picture: Image.Image, path: Path) -> np.ndarray:
    ids = np.array(picture)
    if ids.min() < 0 or ids.max() > MAX_ID:
        raise InputError(f"mask {path} holds ids outside 0..{MAX_ID}; renumber its objects")
    return ids.astype(np.uint16)


def _too_many_colours(path: Path) -> InputError:
    return InputError(
        f"mask {path} brings the masks to more than {MAX_COLOURS} colours, as a photo or a lossy mask would; "
        f"save the masks as PNG without anti-aliasing"
    )


def _lossy(path: Path) -> InputError:
    return InputError(f"mask {path} is a JPEG, whose compression blurs the ids; save it as PNG")
