"""What the pixels and times of frames mean."""

import os
import struct
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

import eval_generic
from tests.corpus.inputs import (
    Clip,
    Results,
    Seen,
    draw_objects,
    generic,
    make_clip,
    numbered,
    photo,
    png_chunk,
    write_mask,
    write_movie,
)
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene

KEPT = frozenset({RIGHT, SAID})
TOLD = frozenset({SAID, REFUSED})
ONLY_REFUSED = frozenset({REFUSED})
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATION = 0x0112


def seen_right(scene: Scene, clip: Clip, tolerance: float = 6.0) -> Seen:
    """The network sees the frames of the clip, and the mask comes back on the first."""
    return Seen(clip.frames, Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids}), tolerance)


def on_clip(
    scene: Scene, clip: Clip, allowed: frozenset[str], words: tuple[str, ...] = (), tolerance: float = 6.0
) -> Case:
    """A run on a clip whose frames were written in some way."""
    mask = write_mask(scene.inputs / f"masks/{clip.names[0]}.png", clip.ids)
    right = seen_right(scene, clip, tolerance)
    return Case(eval_generic, generic(scene, clip.folder, mask), allowed, right, words, result=scene.output / "clip")


def kinds_of_file(scene: Scene) -> Case:
    """Frames in every kind of file that keeps 8-bit colours."""
    clip = make_clip(scene, suffix=scene.pick((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")))
    return on_clip(scene, clip, KEPT)


def modes_of_picture(scene: Scene) -> Case:
    """Grey, palette, CMYK, one bit, with alpha."""
    clip = make_clip(scene, suffix=".png")
    mode = scene.pick(("L", "LA", "P", "1", "RGBA", "CMYK"))
    for position, name in enumerate(clip.names):
        picture = Image.fromarray(clip.frames[position])
        path = clip.folder / f"{name}.png"
        if mode == "RGBA":
            picture.putalpha(int(scene.rng.integers(0, 256)))
        elif mode == "CMYK":
            path.unlink()
            path = clip.folder / f"{name}.tif"
            picture = picture.convert("CMYK")
        else:
            picture = picture.convert(mode)
            clip.frames[position] = np.array(picture.convert("RGB"))
        picture.save(path)
    return on_clip(scene, clip, ANY, (clip.names[0],))


def sixteen_bits(scene: Scene) -> Case:
    """Grey frames of 10, 12, 14 or 16 bits in 16-bit files."""
    clip = make_clip(scene, suffix=scene.pick((".png", ".tif")))
    bits = scene.pick((10, 12, 14, 16))
    for position, path in enumerate(sorted(clip.folder.iterdir())):
        grey = np.array(Image.fromarray(clip.frames[position]).convert("L"), np.float64)
        grey[0, 0] = 255
        Image.fromarray((grey / 255 * (2**bits - 1)).astype(np.uint16)).save(path)
        clip.frames[position] = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    return on_clip(scene, clip, TOLD, (clip.names[0], "bit", "clip"))


def sixteen_bit_colours(scene: Scene) -> Case:
    """Colour frames of 16 bits."""
    clip = make_clip(scene, suffix=".png")
    for position, path in enumerate(sorted(clip.folder.iterdir())):
        cv2.imwrite(str(path), clip.frames[position][..., ::-1].astype(np.uint16) * 257)
    return on_clip(scene, clip, ANY, (clip.names[0], "bit", "clip"))


def float_frames(scene: Scene) -> Case:
    """TIFFs of floating-point numbers from 0 to 1 or to 255."""
    clip = make_clip(scene, suffix=".tif")
    top = scene.pick((1.0, 255.0))
    for position, path in enumerate(sorted(clip.folder.iterdir())):
        grey = np.array(Image.fromarray(clip.frames[position]).convert("L"), np.float32)
        Image.fromarray(grey / 255 * np.float32(top)).save(path)
        clip.frames[position] = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    return on_clip(scene, clip, TOLD, (clip.names[0], "float", "clip"))


def turned_frames(scene: Scene) -> Case:
    """Frames with an orientation are seen upright, as in any viewer."""
    suffix = scene.pick((".jpg", ".jpg", ".png", ".webp", ".tif"))
    clip = make_clip(scene, suffix=suffix)
    number = scene.pick(tuple(STORED))
    for frame, path in zip(clip.frames, sorted(clip.folder.iterdir()), strict=True):
        exif = Image.Exif()
        exif[ORIENTATION] = number
        stored = Image.fromarray(frame).transpose(STORED[number])
        stored.save(path, exif=exif, **({"quality": 95} if suffix == ".jpg" else {}))
    return on_clip(scene, clip, KEPT)


def broken_inside(scene: Scene) -> Case:
    """A JPEG that has lost a part of its data but ends with its end marker."""
    clip = make_clip(scene)
    path = clip.folder / f"{clip.names[-1]}.jpg"
    content = path.read_bytes()
    scan = content.rindex(b"\xff\xda") + 14
    length = len(content) - scan - 2
    cut = scan + length // 4
    if scene.rng.random() < 0.5:
        path.write_bytes(content[:cut] + content[cut + length // 2 :])
    else:
        path.write_bytes(content[:cut] + b"\xff\xd3\x00\x01\xff\xd5" * 3 + content[cut + 20 :])
    return on_clip(scene, clip, ONLY_REFUSED, (path.name,))


def cut_short(scene: Scene) -> Case:
    """A frame whose file ends too early."""
    clip = make_clip(scene, suffix=scene.pick((".jpg", ".png", ".bmp", ".tif", ".webp")))
    path = scene.pick(sorted(clip.folder.iterdir()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * scene.rng.uniform(0, 0.9))])
    case = on_clip(scene, clip, ONLY_REFUSED, (path.name,))
    return case


def bad_checksum(scene: Scene) -> Case:
    """A PNG with a flipped bit."""
    clip = make_clip(scene, suffix=".png")
    path = scene.pick(sorted(clip.folder.iterdir()))
    content = bytearray(path.read_bytes())
    content[int(scene.rng.integers(16, len(content) - 12))] ^= 1 << int(scene.rng.integers(8))
    path.write_bytes(content)
    return on_clip(scene, clip, ANY, (path.name,), tolerance=0.5)


def content_of_another_kind(scene: Scene) -> Case:
    """A PNG that is named .jpg, a JPEG that is named .png, and what is no picture."""
    clip = make_clip(scene)
    path = clip.folder / f"{clip.names[1]}.jpg"
    kind = scene.pick(("png", "webp", "text", "empty", "page"))
    if kind in ("png", "webp"):
        Image.fromarray(clip.frames[1]).save(path, format=kind, quality=95)
        return on_clip(scene, clip, ANY, (path.name,))
    path.write_bytes({"text": b"notes", "empty": b"", "page": b"<html><body>Not found</body></html>"}[kind])
    return on_clip(scene, clip, ONLY_REFUSED, (path.name,))


def pictures_of_several_pages(scene: Scene) -> Case:
    """Animated or many-paged files among frames."""
    clip = make_clip(scene, suffix=scene.pick((".tif", ".webp", ".png")))
    for frame, path in zip(clip.frames, sorted(clip.folder.iterdir()), strict=True):
        pages = [Image.fromarray(photo(scene.rng, frame.shape[:2])) for _ in range(2)]
        Image.fromarray(frame).save(path, save_all=True, append_images=pages)
    return on_clip(scene, clip, TOLD, (clip.names[0], "pages", "animat", "clip"))


def absurd_size(scene: Scene) -> Case:
    """Headers that claim 65,500 pixels a side."""
    clip = make_clip(scene, suffix=scene.pick((".jpg", ".png")))
    path = scene.pick(sorted(clip.folder.iterdir()))
    if path.suffix == ".png":
        header = struct.pack(">IIBBBBB", 65500, 65500, 8, 2, 0, 0, 0)
        chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"x\x9c") + png_chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    else:
        content = bytearray(path.read_bytes())
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", 65500, 65500)
        path.write_bytes(content)
    return on_clip(scene, clip, ONLY_REFUSED, (path.name,))


def no_file(scene: Scene) -> Case:
    """A pipe, a folder or a dead link with the name of a frame."""
    clip = make_clip(scene)
    path = clip.folder / f"{int(clip.names[-1]) + 1:05d}.jpg"
    kind = scene.pick(("pipe", "folder", "dead link"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere.jpg")
    return on_clip(scene, clip, ANY, (path.name, "clip"))


def sizes_differ(scene: Scene) -> Case:
    """One frame has another size."""
    clip = make_clip(scene, suffix=".png")
    path = clip.folder / f"{clip.names[-1]}.png"
    Image.fromarray(photo(scene.rng, (40, 40))).save(path)
    return on_clip(scene, clip, ONLY_REFUSED, (path.name,))


def movie(scene: Scene, suffix: str, count: int, times: list[int] | None = None) -> tuple[Clip, Path]:
    """A video file `in/clip` and what its frames show."""
    size = scene.pick(((32, 48), (48, 64), (64, 96)))
    frames = [photo(scene.rng, size) for _ in range(count)]
    path = write_movie(scene.inputs / f"clip{suffix}", frames, times)
    return Clip(path, numbered(count), draw_objects(scene.rng, size, (1, 2)), frames), path


def whole_movie(scene: Scene) -> Case:
    """Video files of several kinds, named in any case."""
    suffix = scene.pick((".mp4", ".mkv", ".avi", ".webm", ".ts", ".mov"))
    clip, path = movie(scene, suffix, 6)
    if scene.rng.random() < 0.3:
        clip = Clip(path.rename(path.with_suffix(suffix.upper())), clip.names, clip.ids, clip.frames)
    return on_clip(scene, clip, KEPT, tolerance=12)


def cut_movie(scene: Scene) -> Case:
    """A video file that ends in its middle."""
    suffix = scene.pick((".mp4", ".mkv", ".avi", ".webm"))
    size = (64, 96)
    noise = [scene.rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(24)]
    path = write_movie(scene.inputs / f"clip{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * scene.rng.uniform(0.3, 0.7))])
    clip = Clip(path, numbered(24), draw_objects(scene.rng, size, (1, 2)), noise)
    return on_clip(scene, clip, ONLY_REFUSED, (path.name,))


def changing_rate(scene: Scene) -> Case:
    """An overlay lasts as long as its source."""
    times = np.cumsum(scene.rng.integers(1, 12, 6)).tolist()
    times = [moment - times[0] for moment in times]
    clip, _ = movie(scene, scene.pick((".mkv", ".mp4")), 6, times)
    case = on_clip(scene, clip, KEPT, tolerance=12)

    def right(seen: list[np.ndarray]) -> str:
        with av.open(str(scene.folder / "out-overlay/clip.mp4")) as container:
            moments = [float(frame.time) for frame in container.decode(video=0)]
        wanted = times[-1] * 0.04
        lasted = moments[-1] - moments[0]
        return f"the overlay lasts {lasted:.2f} s, not {wanted:.2f}" if abs(lasted - wanted) > 0.1 else ""

    return Case(eval_generic, [*case.arguments, "--overlay", "mp4"], KEPT, right)


def random_damage(scene: Scene) -> Case:
    """Bits flipped or blocks zeroed anywhere in a frame, a mask or a video: right, or refused, or unnoticeable."""
    if scene.rng.random() < 0.3:
        clip, path = movie(scene, scene.pick((".mp4", ".mkv", ".avi", ".webm")), 6)
        case = on_clip(scene, clip, ANY, (path.name,))
    else:
        clip = make_clip(scene, suffix=scene.pick((".jpg", ".png", ".tif", ".webp")))
        case = on_clip(scene, clip, ANY, ())
        path = scene.pick((*sorted(clip.folder.iterdir()), scene.inputs / f"masks/{clip.names[0]}.png"))
        case.words = (path.name,)
    damage(scene, path)
    if path.suffix in (".png",):
        return case
    case.right = lambda seen: ""
    return case


def damage(scene: Scene, path: Path) -> None:
    """One of the ways in which files break."""
    content = bytearray(path.read_bytes())
    way = scene.pick(("bits", "zeros", "cut", "block lost", "tail"))
    place = int(scene.rng.integers(0, len(content)))
    length = int(scene.rng.integers(1, max(2, len(content) // 3)))
    if way == "bits":
        for _ in range(int(scene.rng.integers(1, 6))):
            content[int(scene.rng.integers(len(content)))] ^= 1 << int(scene.rng.integers(8))
    elif way == "zeros":
        content[place : place + length] = bytes(len(content[place : place + length]))
    elif way == "cut":
        del content[place:]
    elif way == "block lost":
        del content[place : place + length]
    else:
        content += scene.rng.bytes(20)
    path.write_bytes(content)


FAMILIES = (
    kinds_of_file,
    modes_of_picture,
    sixteen_bits,
    sixteen_bit_colours,
    float_frames,
    turned_frames,
    broken_inside,
    cut_short,
    bad_checksum,
    content_of_another_kind,
    pictures_of_several_pages,
    absurd_size,
    no_file,
    sizes_differ,
    whole_movie,
    cut_movie,
    changing_rate,
    random_damage,
)
