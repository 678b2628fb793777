"""What the pixels of a mask mean: depths, palettes, smoothing, backgrounds, void."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import eval_generic
import try_correspondence
from datasets.mask_files import voc_palette
from tests.corpus.inputs import Clip, Results, draw_objects, generic, make_clip, write_grey_png, write_mask
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene

COLOURS = np.array([[0, 0, 0], [230, 30, 40], [40, 200, 60], [50, 80, 240], [240, 220, 30]], np.uint8)
TOLD = frozenset({SAID, REFUSED})
KEPT = frozenset({RIGHT, SAID})
BACKGROUND = ("background", "border")


def on_first_frame(
    scene: Scene,
    clip: Clip,
    mask: Path,
    allowed: frozenset[str],
    ids: np.ndarray,
    *flags: object,
    exact: bool = True,
    literal: np.ndarray | None = None,
    says: Sequence[str] = (),
) -> Case:
    """The mask belongs to the first frame; `literal` are ids that are right as well if the surprise `says` is said."""

    def results(truth: np.ndarray) -> Results:
        return Results(scene.output / "clip", clip.names, {clip.names[0]: truth}, exact)

    words = (mask.name, f"frame {clip.names[0]}")
    or_said = None if literal is None else results(literal)
    arguments = generic(scene, clip.folder, mask, *flags)
    return Case(eval_generic, arguments, allowed, results(ids), words, says, or_said, scene.output / "clip")


def mask_path(scene: Scene, suffix: str = ".png") -> Path:
    """A mask named like the first frame."""
    (scene.inputs / "masks").mkdir(parents=True, exist_ok=True)
    return scene.inputs / f"masks/00000{suffix}"


def solid_objects(scene: Scene, ids: Sequence[int] = (1,)) -> tuple[Clip, Path]:
    """A clip with these objects, and where their mask is to lie."""
    return make_clip(scene, ids), mask_path(scene)


def smoothed(scene: Scene, picture: np.ndarray) -> np.ndarray:
    """A picture (H, W) or (H, W, 3), uint8, of flat areas, as one of the ways to soften edges leaves it."""
    height, width = picture.shape[:2]
    way = int(scene.rng.integers(4))
    if way == 0:
        return cv2.GaussianBlur(picture, (5, 5), float(scene.rng.uniform(0.7, 1.2)))
    if way == 1:
        smaller = (int(width * 0.83), int(height * 0.87))
        small = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if way == 2:
        large = cv2.resize(picture, (width * 3, height * 3), interpolation=cv2.INTER_NEAREST)
        moved = np.roll(large, (1, 1), (0, 1))
        return cv2.resize(moved, (width, height), interpolation=cv2.INTER_AREA)
    small = Image.fromarray(picture).resize((int(width * 0.83), int(height * 0.87)), Image.Resampling.BILINEAR)
    return np.array(small.resize((width, height), Image.Resampling.LANCZOS))


def whole_masks(scene: Scene) -> Case:
    """Ids in each of the kinds of file that keep them."""
    ids = sorted(scene.rng.choice(np.arange(1, 200), size=int(scene.rng.integers(1, 5)), replace=False).tolist())
    kind = scene.pick(("palette", "grey", "wide", "one bit", "tiff"))
    clip = make_clip(scene, [1] if kind == "one bit" else ids)
    path = mask_path(scene, ".tif" if kind == "tiff" else ".png")
    if kind == "palette":
        write_mask(path, clip.ids)
    elif kind == "wide":
        Image.fromarray(clip.ids).save(path)
    elif kind == "one bit":
        Image.fromarray(clip.ids > 0).save(path)
    else:
        Image.fromarray(clip.ids.astype(np.uint8)).save(path)
    return on_first_frame(scene, clip, path, KEPT, clip.ids)


def low_bit_grey(scene: Scene) -> Case:
    """Grey PNGs of 1, 2 and 4 bits hold raw ids."""
    bits = scene.pick((1, 2, 4))
    most = min(2**bits - 1, 4)
    ids = sorted(
        scene.rng.choice(np.arange(1, 2**bits), size=int(scene.rng.integers(1, most + 1)), replace=False).tolist()
    )
    clip, path = solid_objects(scene, ids)
    write_grey_png(path, clip.ids, bits)
    return on_first_frame(scene, clip, path, KEPT, clip.ids)


def low_bit_palette(scene: Scene) -> Case:
    """Palette PNGs of 1, 2 and 4 bits hold raw indices."""
    bits = scene.pick((1, 2, 4))
    ids = sorted(scene.rng.choice(np.arange(1, 2**bits), size=min(2**bits - 1, 3), replace=False).tolist())
    clip, path = solid_objects(scene, ids)
    picture = Image.fromarray(clip.ids.astype(np.uint8))
    picture.putpalette(voc_palette()[: 2**bits].tobytes())
    picture.save(path, bits=bits)
    return on_first_frame(scene, clip, path, KEPT, clip.ids)


def spread_grey(scene: Scene) -> Case:
    """Objects as 0, 128, 255 or 0, 85, 170, 255: none is dropped, or void is said."""
    levels = scene.pick(((128, 255), (85, 170, 255), (100, 255), (255,)))
    clip, path = solid_objects(scene, levels)
    Image.fromarray(clip.ids.astype(np.uint8)).save(path)
    without_void = np.where(clip.ids == 255, 0, clip.ids) if len(levels) > 1 else None
    return on_first_frame(scene, clip, path, KEPT, clip.ids, literal=without_void, says=("void",))


def smooth_grey(scene: Scene) -> Case:
    """A white object with soft edges is one object, not twenty."""
    clip, path = solid_objects(scene)
    soft = smoothed(scene, np.where(clip.ids > 0, 255, 0).astype(np.uint8))
    Image.fromarray(soft).save(path)
    return on_first_frame(scene, clip, path, TOLD, soft > 127, exact=False)


def smooth_colours(scene: Scene) -> Case:
    """Colour-coded objects with soft edges."""
    clip, path = solid_objects(scene, range(1, int(scene.rng.integers(2, 5))))
    Image.fromarray(smoothed(scene, COLOURS[clip.ids])).save(path)
    return on_first_frame(scene, clip, path, TOLD, clip.ids, exact=False)


def smooth_indices(scene: Scene) -> Case:
    """A palette mask whose indices were interpolated."""
    clip, path = solid_objects(scene, [int(scene.rng.integers(12, 200))])
    write_mask(path, smoothed(scene, clip.ids.astype(np.uint8)))
    return on_first_frame(scene, clip, path, TOLD, clip.ids, exact=False)


def snapped(scene: Scene) -> Case:
    """--snap gives soft edges to the nearest object."""
    clip, path = solid_objects(scene, (1, 2))
    Image.fromarray(smoothed(scene, COLOURS[clip.ids])).save(path)
    case = on_first_frame(scene, clip, path, KEPT, clip.ids, "--snap")

    def right(seen: list[np.ndarray]) -> str:
        result = np.array(Image.open(scene.output / f"clip/{clip.names[0]}.png"))
        if len(np.unique(result)) != 3:
            return f"{len(np.unique(result)) - 1} objects, not 2"
        differing = np.mean((result > 0) != (clip.ids > 0))
        return f"{differing:.0%} of the pixels differ" if differing > 0.1 else ""

    case.right = right
    return case


def adaptive_palette(scene: Scene) -> Case:
    """Black is the background though its index is not 0."""
    clip, path = solid_objects(scene, range(1, int(scene.rng.integers(2, 5))))
    count = int(clip.ids.max()) + 1
    order = np.roll(np.arange(count), int(scene.rng.integers(1, count)))
    picture = Image.fromarray(order[clip.ids].astype(np.uint8))
    palette = np.zeros((count, 3), np.uint8)
    palette[order] = COLOURS[:count]
    picture.putpalette(palette.tobytes())
    picture.save(path)
    return on_first_frame(scene, clip, path, TOLD, clip.ids, exact=False, says=BACKGROUND)


def bright_background(scene: Scene) -> Case:
    """Colour-coded objects on white or another colour."""
    clip, path = solid_objects(scene, range(1, int(scene.rng.integers(2, 5))))
    colours = COLOURS.copy()
    colours[0] = scene.pick(((255, 255, 255), (200, 200, 200), (0, 0, 90)))
    Image.fromarray(colours[clip.ids]).save(path)
    literal = clip.ids + np.uint16(1)
    return on_first_frame(scene, clip, path, TOLD, clip.ids, exact=False, literal=literal, says=BACKGROUND)


def inverted_grey(scene: Scene) -> Case:
    """White outside, the object black."""
    clip, path = solid_objects(scene)
    Image.fromarray(np.where(clip.ids > 0, 0, scene.pick((255, 1))).astype(np.uint8)).save(path)
    return on_first_frame(scene, clip, path, TOLD, clip.ids, exact=False, literal=clip.ids == 0, says=BACKGROUND)


def transparent_background(scene: Scene) -> Case:
    """What is fully transparent is background, whatever colour lies below."""
    clip, path = solid_objects(scene, (1, 2))
    alpha = np.where(clip.ids > 0, 255, 0).astype(np.uint8)
    colours = COLOURS[clip.ids]
    colours[clip.ids == 0] = scene.rng.integers(0, 256, 3)
    Image.fromarray(np.dstack([colours, alpha])).save(path)
    return on_first_frame(scene, clip, path, KEPT, clip.ids, exact=False)


def thin_objects(scene: Scene) -> Case:
    """Ropes one or two pixels wide and specks are objects like others."""
    clip, path = solid_objects(scene, (1,))
    ids = clip.ids.astype(np.uint8)
    height, width = ids.shape
    rope = [np.array([[1, height - 3], [width // 2, height - 2], [width - 2, height - 4]])]
    cv2.polylines(ids, rope, False, 5, int(scene.rng.integers(1, 3)))
    ids[1:3, 1:3] = 9
    Image.fromarray(ids).save(path) if scene.rng.random() < 0.5 else write_mask(path, ids)
    return on_first_frame(scene, clip, path, KEPT, ids)


def small_neighbours(scene: Scene) -> Case:
    """Many small objects side by side, touching each other."""
    clip, path = solid_objects(scene, (1,))
    ids = np.zeros_like(clip.ids, np.uint8)
    side = int(scene.rng.integers(3, 6))
    labels = scene.rng.permutation(np.arange(1, 13)).reshape(3, 4)
    block = labels.repeat(side, 0).repeat(side, 1)
    ids[4 : 4 + block.shape[0], 5 : 5 + block.shape[1]] = block
    write_mask(path, ids)
    return on_first_frame(scene, clip, path, KEPT, ids)


def void_of_voc(scene: Scene) -> Case:
    """255 as a thin line around objects in a VOC palette is void."""
    clip, path = solid_objects(scene, (1, 2))
    grown = cv2.dilate((clip.ids > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    ids = np.where((grown > 0) & (clip.ids == 0), 255, clip.ids).astype(np.uint8)
    write_mask(path, ids)
    return on_first_frame(scene, clip, path, TOLD, clip.ids, literal=ids, says=("void",))


def lossy_mask(scene: Scene) -> Case:
    """JPEG masks, by their name or by their content."""
    clip = make_clip(scene)
    path = mask_path(scene, scene.pick((".jpg", ".png")))
    Image.fromarray(COLOURS[clip.ids]).save(path, format="JPEG")
    return on_first_frame(scene, clip, path, frozenset({REFUSED}), clip.ids)


def other_size(scene: Scene) -> Case:
    """A mask of another size than the frame."""
    clip, path = solid_objects(scene, (1, 2))
    factor = scene.pick((0.5, 1.2, 2.0))
    write_mask(path, cv2.resize(clip.ids.astype(np.uint8), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST))
    return on_first_frame(scene, clip, path, TOLD, clip.ids)


def empty_mask(scene: Scene) -> Case:
    """A mask in which nothing is."""
    clip, path = solid_objects(scene)
    Image.new(scene.pick(("L", "P", "1", "RGB", "I;16")), clip.ids.shape[::-1]).save(path)
    return on_first_frame(scene, clip, path, TOLD, np.zeros_like(clip.ids))


def wide_ids(scene: Scene) -> Case:
    """Ids above 255 in 16 bits."""
    ids = sorted(scene.rng.choice(np.arange(256, 65536), size=2, replace=False).tolist())
    clip, path = solid_objects(scene, ids)
    Image.fromarray(clip.ids).save(path)
    return on_first_frame(scene, clip, path, KEPT, clip.ids)


def one_file_for_each_object(scene: Scene) -> Case:
    """Black and white pictures, hard or soft."""
    clip = make_clip(scene, (1, 2))
    folder = mask_path(scene).parent
    soft = scene.rng.random() < 0.5
    for number, name in ((1, "cat"), (2, "dog")):
        picture = np.where(clip.ids == number, 255, 0).astype(np.uint8)
        Image.fromarray(cv2.GaussianBlur(picture, (3, 3), 0.8) if soft else picture).save(folder / f"{name}.png")
    masks = [folder / "cat.png", folder / "dog.png"]
    results = Results(scene.output / "clip", clip.names, {} if soft else {clip.names[0]: clip.ids})
    return Case(
        eval_generic, generic(scene, clip.folder, masks), ANY if soft else KEPT, results, ("cat.png", "dog.png")
    )


def smooth_mask_of_a_pair(scene: Scene) -> Case:
    """try_correspondence.py --mask refuses soft edges as the others do."""
    clip, path = solid_objects(scene)
    Image.fromarray(smoothed(scene, np.where(clip.ids > 0, 255, 0).astype(np.uint8))).save(path)
    source, target = sorted(clip.folder.iterdir())[:2]
    result = scene.output / "carried.png"
    arguments = ["--model", scene.model, "--source", source, "--target", target, "--mask", path, "--device", "cpu"]
    arguments += ["--output", scene.output / "sheet.png", "--mask_output", result]

    def right(seen: list[np.ndarray]) -> str:
        count = len(np.unique(np.array(Image.open(result))))
        return f"{count - 1} objects" if count > 2 else ""

    return Case(try_correspondence, arguments, TOLD, right, (path.name,), result=result)


def moving_background(scene: Scene) -> Case:
    """Two annotated frames whose masks number the same objects alike."""
    clip = make_clip(scene, (3, 7))
    second = draw_objects(scene.rng, clip.ids.shape, (3, 7))
    folder = mask_path(scene).parent
    write_mask(folder / f"{clip.names[0]}.png", clip.ids)
    write_mask(folder / f"{clip.names[2]}.png", second)
    given = {clip.names[0]: clip.ids, clip.names[2]: second}
    return Case(
        eval_generic, generic(scene, clip.folder, folder), KEPT, Results(scene.output / "clip", clip.names, given)
    )


FAMILIES = (
    whole_masks,
    low_bit_grey,
    low_bit_palette,
    spread_grey,
    smooth_grey,
    smooth_colours,
    smooth_indices,
    snapped,
    adaptive_palette,
    bright_background,
    inverted_grey,
    transparent_background,
    thin_objects,
    small_neighbours,
    void_of_voc,
    lossy_mask,
    other_size,
    empty_mask,
    wide_ids,
    one_file_for_each_object,
    smooth_mask_of_a_pair,
    moving_background,
)
