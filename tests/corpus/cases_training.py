"""What training reads: sets of pictures and videos, and the runs that it goes on with."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets.train.static_dataset import static_datasets
from scripts import check_data
from tests.corpus.inputs import draw_objects, photo, write_mask
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene
from training.run_folder import checkpoints_of
from util.errors import InputError

KEPT = frozenset({RIGHT, SAID})
ONLY_REFUSED = frozenset({REFUSED})
ERRORS = "errors have to be repaired"


def write_pictures(scene: Scene, count: int = 4) -> tuple[Path, list[np.ndarray]]:
    """A set of stage 0 with masks of 0 and 255; the ids of its masks."""
    folder = scene.inputs / "static/ecssd"
    folder.mkdir(parents=True)
    masks = []
    for number in range(count):
        ids = draw_objects(scene.rng, (48, 64), (1,)) > 0
        Image.fromarray(photo(scene.rng, ids.shape)).save(folder / f"{number}.jpg")
        Image.fromarray(np.where(ids, 255, 0).astype(np.uint8)).save(folder / f"{number}.png")
        masks.append(ids)
    return folder, masks


def check(option: str, root: Path) -> list[object]:
    """The command line of check_data.py for one root."""
    roots = dict.fromkeys(("static_root", "davis_root", "yv_root", "bl_root"), "none") | {option: root}
    return [*(part for name, place in roots.items() for part in (f"--{name}", place)), "--workers", 1]


def objects_of_pictures(scene: Scene) -> Case:
    """Masks of 0 and 1, of palettes, of one bit and of 255 hold their object when training reads them."""
    folder, masks = write_pictures(scene)
    kind = scene.pick(("0/255", "0/1", "palette", "one bit", "16 bit", "colour"))
    for number, ids in enumerate(masks):
        path = folder / f"{number}.png"
        if kind == "0/1":
            Image.fromarray(ids.astype(np.uint8)).save(path)
        elif kind == "palette":
            write_mask(path, ids)
        elif kind == "one bit":
            Image.fromarray(ids).save(path)
        elif kind == "16 bit":
            Image.fromarray(ids.astype(np.uint16)).save(path)
        elif kind == "colour":
            Image.fromarray(np.where(ids[..., None], (255, 255, 255), (0, 0, 0)).astype(np.uint8)).save(path)
    samples: list[torch.Tensor] = []

    def read() -> None:
        torch.manual_seed(0)
        ((data, _),) = static_datasets(folder.parent, image_size=(64, 64))
        samples.extend(data[number]["masks"] for number in range(len(data)))

    def right(seen: list[np.ndarray]) -> str:
        empty = sum(not sample.any() for sample in samples)
        return f"{empty} of {len(samples)} samples hold no object" if empty > 1 else ""

    return Case(read, ["static", kind], ANY, right, (".png", "static"))


def empty_pictures(scene: Scene) -> Case:
    """A set whose masks are all empty cannot train."""
    folder, masks = write_pictures(scene)
    for path in folder.glob("*.png"):
        Image.fromarray(np.zeros(masks[0].shape, np.uint8)).save(path)
    arguments = check("static_root", folder.parent)
    return Case(check_data, arguments, ONLY_REFUSED, lambda seen: "training can run", (ERRORS,), refusal_code=1)


def empty_videos(scene: Scene) -> Case:
    """Videos whose masks are all empty cannot train."""
    trainval = scene.inputs / "DAVIS/2017/trainval"
    for number in range(4):
        for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            path = trainval / f"{kind}/480p/ball/{number:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == "jpg":
                Image.fromarray(photo(scene.rng, (32, 48))).save(path)
            else:
                write_mask(path, np.zeros((32, 48)))
    (trainval / "ImageSets/2017").mkdir(parents=True)
    (trainval / "ImageSets/2017/train.txt").write_text("ball\n")
    arguments = check("davis_root", scene.inputs / "DAVIS")
    return Case(check_data, arguments, ONLY_REFUSED, lambda seen: "training can run", (ERRORS,), refusal_code=1)


def pictures_that_count(scene: Scene) -> Case:
    """Files of macOS are no samples, .JPG and .PNG are."""
    folder, _ = write_pictures(scene)
    if scene.rng.random() < 0.5:
        for path in sorted(folder.iterdir()):
            (folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    if scene.rng.random() < 0.7:
        (folder / "0.jpg").rename(folder / "0.JPG")
    if scene.rng.random() < 0.3:
        (folder / "1.png").rename(folder / "1.PNG")
    found: list[int] = []

    def count() -> None:
        found.extend(len(data) for data, _ in static_datasets(folder.parent))

    return Case(count, ["static"], KEPT, lambda seen: "" if found == [4] else f"samples: {found}, not 4")


def damaged_pictures(scene: Scene) -> Case:
    """A picture that is cut, absurd or none is an error of check_data.py."""
    folder, _ = write_pictures(scene)
    path = scene.pick(sorted(folder.iterdir()))
    content = path.read_bytes()
    path.write_bytes(scene.pick((content[: len(content) // 2], b"", b"notes")))
    arguments = check("static_root", folder.parent)
    return Case(check_data, arguments, ONLY_REFUSED, lambda seen: "training can run", (path.name,), refusal_code=1)


def checkpoints_of_a_run(scene: Scene) -> Case:
    """A run goes on with its own checkpoints only, whatever its name."""
    name = scene.pick(("s0", "a[1]", "b*", "s?", "x_y"))
    others = [f"big_{name}", f"{name}_2", "a1", "bb", "sx", name.upper() + "z"]
    root = scene.inputs / "saves"
    for run in (name, *others):
        folder = root / f"Nov26_15.23.0{len(run) % 10}_{run}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{folder.name}_checkpoint.pth").write_bytes(b"x")
    found: list[Path] = []

    def look() -> None:
        try:
            found.extend(checkpoints_of(name, root))
        except InputError as error:
            raise InputError(f"{error} {name}") from error

    def right(seen: list[np.ndarray]) -> str:
        names = [re.sub(r"^[^_]+_[^_]+_", "", path.parent.name) for path in found]
        return "" if names == [name] else f"{names} are taken for {name}"

    return Case(look, ["checkpoints of", name], ANY, right, (name,))


FAMILIES = (
    objects_of_pictures,
    empty_pictures,
    empty_videos,
    pictures_that_count,
    damaged_pictures,
    checkpoints_of_a_run,
)
