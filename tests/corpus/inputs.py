"""Frames, masks and videos of the cases, and what results must be like."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from datasets.mask_files import voc_palette
from tests.corpus.runner import Scene

SIZES = ((32, 48), (48, 64), (49, 61), (64, 96))


def draw_objects(rng: np.random.Generator, size: tuple[int, int], ids: Sequence[int]) -> np.ndarray:
    """Ids (H, W), uint16: a rectangle, disc or triangle for each id, apart from each other and from the border."""
    height, width = size
    canvas = np.zeros(size, np.uint16)
    columns = len(ids)
    for column, object_id in enumerate(ids):
        left, right = 3 + (width - 6) * column // columns + 1, 3 + (width - 6) * (column + 1) // columns - 2
        top, bottom = 4, height - 5
        top += int(rng.integers(0, max(1, (bottom - top) // 3)))
        shape = np.zeros(size, np.uint8)
        kind = int(rng.integers(3))
        if kind == 0 or right - left < 8:
            shape[top:bottom, left:right] = 1
        elif kind == 1:
            middle = ((left + right) // 2, (top + bottom) // 2)
            cv2.ellipse(shape, middle, ((right - left) // 2, (bottom - top) // 2), 0, 0, 360, 1, -1)
        else:
            cv2.fillPoly(shape, [np.array([[left, bottom], [right, bottom], [(left + right) // 2, top]])], 1)
        canvas[shape > 0] = object_id
    return canvas


def photo(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A smooth picture (H, W, 3), uint8, no side of which looks like another."""
    coarse = rng.integers(30, 226, (4, 5, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def numbered(count: int, form: str = "{:05d}") -> list[str]:
    """Names of frames from 0."""
    return [form.format(number) for number in range(count)]


def write_frames(
    scene: Scene, folder: Path, size: tuple[int, int], names: Sequence[str], suffix: str = ".jpg"
) -> list[np.ndarray]:
    """Frames of one video; returns their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [photo(scene.rng, size) for _ in names]
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame).save(folder / f"{name}{suffix}", **({"quality": 95} if "j" in suffix.lower() else {}))
    return frames


def write_movie(path: Path, frames: Sequence[np.ndarray], times: Sequence[int] | None = None, tick: int = 40) -> Path:
    """A video file of frames (H, W, 3) with even sides; `times` are in ticks of so many milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(path.suffix, "libx264")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(1000, tick))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(tick, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, Fraction(tick, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_grey_png(path: Path, values: np.ndarray, bits: int) -> None:
    """A grey PNG with 1, 2, 4, 8 or 16 bits for each pixel."""
    height, width = values.shape
    planes = (values[..., None].astype(np.uint32) >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8)
    rows = np.packbits(planes.reshape(height, -1), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(content)), png_chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@dataclass(frozen=True)
class Clip:
    """A video in a folder of a scene, and where its objects are.

    Attributes:
        folder: of the frames.
        names: of the frames, without suffix.
        ids: (H, W), uint16, of the mask.
        frames: their pixels, (H, W, 3).
    """

    folder: Path
    names: list[str]
    ids: np.ndarray
    frames: list[np.ndarray]


def make_clip(scene: Scene, ids: Sequence[int] = (1, 2), form: str = "{:05d}", suffix: str = ".jpg") -> Clip:
    """A folder `in/clip` of 3 to 5 frames, and objects for its mask."""
    size = scene.pick(SIZES)
    names = numbered(int(scene.rng.integers(3, 6)), form)
    frames = write_frames(scene, scene.inputs / "clip", size, names, suffix)
    return Clip(scene.inputs / "clip", names, draw_objects(scene.rng, size, ids), frames)


def write_mask(path: Path, ids: np.ndarray) -> Path:
    """A palette PNG of ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(ids.astype(np.uint8))
    picture.putpalette(voc_palette().tobytes())
    picture.save(path)  # not by our own writer, which would record it as ours
    return path


def generic(scene: Scene, source: object, masks: object, *flags: object) -> list[object]:
    """The command line of eval_generic.py; `masks` is one path or several."""
    several = masks if isinstance(masks, list | tuple) else [masks]
    fixed = ["--model", scene.model, "--device", "cpu", "--output", scene.output]
    return [*fixed, "--input", source, "--masks", *several, *flags]


@dataclass(frozen=True)
class Results:
    """What a folder of results must hold.

    Attributes:
        folder: of the video's results.
        names: of the frames that must be there, and no others.
        given: ids of annotated frames, which come back exactly, by name.
        exact: whether ids are those of the mask; else any numbers that tell the same pixels apart.
    """

    folder: Path
    names: Sequence[str]
    given: Mapping[str, np.ndarray]
    exact: bool = True

    def __call__(self, seen: list[np.ndarray]) -> str:
        """What is wrong with the folder."""
        found = sorted(path.name for path in self.folder.glob("*.png")) if self.folder.is_dir() else []
        wanted = sorted(f"{name}.png" for name in self.names)
        if found != wanted:
            return f"{self.folder.name}/ holds {found[:6]}, not {wanted[:6]}"
        for name, ids in self.given.items():
            result = np.array(Image.open(self.folder / f"{name}.png"))
            if not (np.array_equal(result, ids) if self.exact else same_parts(result, ids)):
                return f"mask of frame {name} has {tell(result)}, not {tell(ids)}"
        return ""


def tell(ids: np.ndarray) -> str:
    """The ids of a map with their pixels, in short."""
    pairs = [f"{value}: {count}" for value, count in zip(*np.unique(ids, return_counts=True), strict=True)]
    return f"{len(pairs)} values ({', '.join(pairs[:5])}{', ...' if len(pairs) > 5 else ''})"


def same_parts(result: np.ndarray, ids: np.ndarray) -> bool:
    """Whether two maps of ids hold the same objects under other numbers, and the same background."""
    if result.shape != ids.shape or not np.array_equal(result > 0, ids > 0):
        return False
    pairs = {*zip(result.ravel().tolist(), ids.ravel().tolist(), strict=True)}
    return len(pairs) == len(np.unique(ids)) == len(np.unique(result))


@dataclass(frozen=True)
class Seen:
    """What frames the network must have seen; `then` looks at the results as well.

    Attributes:
        frames: (H, W, 3), in order.
        then: what the results must be.
        tolerance: mean difference of a frame in grey levels.
    """

    frames: Sequence[np.ndarray]
    then: Results
    tolerance: float = 6.0

    def __call__(self, seen: list[np.ndarray]) -> str:
        """What is wrong with the frames or the results."""
        if len(seen) != len(self.frames):
            return f"the network saw {len(seen)} frames, not {len(self.frames)}"
        for number, (got, wanted) in enumerate(zip(seen, self.frames, strict=True)):
            if got.shape != wanted.shape:
                return f"frame {number} was seen as {got.shape}, not {wanted.shape}"
            difference = np.abs(got.astype(float) - wanted).mean()
            if difference > self.tolerance:
                return f"frame {number} was seen {difference:.0f} grey levels off, with mean {got.mean():.0f}"
        return self.then(seen)
