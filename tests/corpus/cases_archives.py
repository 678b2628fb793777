"""Archives, tables and lists that lost a part or mean something else."""

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import eval_boxes
import eval_youtube
from datasets.synthetic.boxes import write_box_tree
from scripts import score as score_script
from scripts.download.unpack import unpack
from tests.corpus.cases_frames import damage
from tests.corpus.cases_masks import smoothed
from tests.corpus.inputs import Results, draw_objects, numbered, write_frames, write_mask
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene
from tests.helpers.box_runs import square_video

KEPT = frozenset({RIGHT, SAID})
TOLD = frozenset({SAID, REFUSED})
ONLY_REFUSED = frozenset({REFUSED})
BLOCK = 512


def contents_of(scene: Scene) -> dict[str, bytes]:
    """Files of a set, in two folders."""
    names = [f"set/{folder}/{number:05d}.png" for folder in ("a", "b") for number in range(3)]
    return {name: scene.rng.bytes(int(scene.rng.integers(1, 2000))) for name in names}


def pack(path: Path, files: dict[str, bytes]) -> None:
    """Write a zip or tar archive."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def unpacking(scene: Scene, path: Path, files: dict[str, bytes], allowed: frozenset[str]) -> Case:
    """Unpacking gives every file of the archive, or nothing."""
    target = scene.output / "set"

    def right(seen: list[np.ndarray]) -> str:
        found = {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*") if file.is_file()}
        return "" if found == files else f"{len(found)} files of {len(files)}"

    return Case(lambda: unpack(path, target), ["unpack", path], allowed, right, (path.name,), result=target)


def archive_path(scene: Scene) -> Path:
    """One of the kinds of archives."""
    return scene.inputs / scene.pick(("x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"))


def whole_archives(scene: Scene) -> Case:
    """Every kind comes out whole."""
    path, files = archive_path(scene), contents_of(scene)
    pack(path, files)
    return unpacking(scene, path, files, KEPT)


def damaged_archives(scene: Scene) -> Case:
    """Random damage, which a compressed archive or one of headers alone cannot hide."""
    path, files = scene.inputs / scene.pick(("x.zip", "x.tar.gz", "x.tar.bz2", "x.tar.xz")), contents_of(scene)
    pack(path, files)
    damage(scene, path)
    return unpacking(scene, path, files, ANY)


def bare_tars_that_lost_a_part(scene: Scene) -> Case:
    """A tar without compression: a bit of a header, a zero block, a cut anywhere."""
    path, files = scene.inputs / "x.tar", contents_of(scene)
    pack(path, files)
    with tarfile.open(path) as archive:
        headers = [member.offset for member in archive]
        end = archive.offset
    content = bytearray(path.read_bytes())
    header = scene.pick(headers)
    way = scene.pick(("bit", "cut in header", "zero block", "cut at header", "lost end", "tail"))
    if way == "bit":
        content[header + int(scene.rng.integers(0, 150))] ^= 1 << int(scene.rng.integers(7))
    elif way == "cut in header":
        del content[header + int(scene.rng.integers(1, BLOCK)) :]
    elif way == "zero block":
        content[header : header + BLOCK] = bytes(BLOCK)
    elif way == "cut at header":
        del content[header:]
    elif way == "lost end":
        del content[end:]
    else:
        content += scene.rng.bytes(3 * BLOCK)
    path.write_bytes(content)
    return unpacking(scene, path, files, ONLY_REFUSED)


def names_of_members(scene: Scene) -> Case:
    """Names that lead out, are none, or that some systems cannot have."""
    path, files = scene.inputs / scene.pick(("x.zip", "x.tar")), contents_of(scene)
    names = (
        "",
        ".",
        "..",
        "../out.txt",
        "/tmp/out.txt",
        "set/../../x",
        "a\0b",
        "C:\\x",
        "a\\b",
        "x" * 300,
        "a/" * 60 + "b" + "b",
    )
    odd = scene.pick(names)
    pack(path, files | {odd: b"x"})
    return unpacking(scene, path, files | {odd.replace("\\", "/"): b"x"}, ANY)


def cut_streams(scene: Scene) -> Case:
    """A compressed archive that ends early, or whose compression is not what its name says."""
    files = contents_of(scene)
    plain = scene.inputs / "x.tar"
    pack(plain, files)
    content = plain.read_bytes()
    way = scene.pick(("cut gzip", "cut bz2", "two streams", "gz is bz2", "gz is a page", "empty"))
    packed = {
        "cut gzip": lambda: gzip.compress(content)[: int(scene.rng.integers(1, 500))],
        "cut bz2": lambda: bz2.compress(content)[:-10],
        "two streams": lambda: gzip.compress(content[:1024]) + gzip.compress(content[1024:]),
        "gz is bz2": lambda: bz2.compress(content),
        "gz is a page": lambda: b"<html><body>Sign in</body></html>",
        "empty": lambda: b"",
    }[way]()
    path = scene.inputs / "packed.tar.gz"
    path.write_bytes(packed)
    return unpacking(scene, path, files, ANY)


def odd_zips(scene: Scene) -> Case:
    """Methods of compression that few know, passwords, two members of one name."""
    path, files = scene.inputs / "x.zip", contents_of(scene)
    way = scene.pick(("bzip2", "lzma", "method 98", "encrypted", "twice", "no directory"))
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(way, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\1\2")
    if way == "method 98":
        content[8:10] = content[central + 10 : central + 12] = (98).to_bytes(2, "little")
    elif way == "encrypted":
        content[6] |= 1
        content[central + 8] |= 1
    elif way == "twice":
        content = bytearray(bytes(content).replace(b"a/00001", b"a/00000"))
    elif way == "no directory":
        del content[central:]
    path.write_bytes(content)
    return unpacking(scene, path, files, ANY if way in ("bzip2", "lzma") else ONLY_REFUSED)


def youtube_tree(scene: Scene, meta: Any) -> Case:
    """A run on one video of YouTube-VOS with this meta.json; objects 1 and 2 are given on its first frame."""
    names = [f"{5 * number:05d}" for number in range(4)]
    valid = scene.inputs / "YouTube/valid"
    frames = write_frames(scene, valid / "JPEGImages/cat", (32, 48), names)
    ids = draw_objects(scene.rng, frames[0].shape[:2], (1, 2))
    write_mask(valid / "Annotations/cat/00000.png", ids)
    (valid / "meta.json").write_text(meta if isinstance(meta, str) else json.dumps(meta))
    arguments = ["--yv", scene.inputs / "YouTube", "--output", scene.output, "--model", scene.model, "--device", "cpu"]
    right = Results(scene.output / "cat", names, {"00000": ids})
    return Case(eval_youtube, arguments, ANY, right, ("meta.json", "cat"), result=scene.output / "cat")


def frames_of_meta_json(scene: Scene) -> Case:
    """Frames that are numbers, carry a suffix, are unknown, or are none."""
    names = ["00000", "00005", "00010", "00015"]
    frames: Any = scene.pick(
        (names, [0, 5, 10, 15], [f"{name}.jpg" for name in names], "00000", 5, None, [], ["7"], [None], [[]],
         {"00000": 1}, names * 2, [*names, "00099"], [0.0, 5.0], ["0", "5", "10", "15"])
    )  # fmt: skip
    case = youtube_tree(scene, {"videos": {"cat": {"objects": {"1": {"frames": frames}, "2": {"frames": frames}}}}})

    def some(seen: list[np.ndarray]) -> str:
        return "" if any((scene.output / "cat").glob("*.png")) else "no PNG was written"

    case.or_said = some
    case.says = ("meta.json",)
    return case


def shapes_of_meta_json(scene: Scene) -> Case:
    """JSON that is broken, nested without end, or of another shape."""
    meta: Any = scene.pick(
        ("", "{", "[" * 100_000, "null", "[]", '"videos"', "NaN", "\ufeff{}", {"videos": []}, {"videos": {"cat": 3}},
         {"videos": {"cat": {"objects": []}}}, {"videos": {"cat": {"objects": {"1": None}}}}, {"videos": {}},
         {"videos": {"dog": {"objects": {}}}}, '{"videos": ' * 5000)
    )  # fmt: skip
    return youtube_tree(scene, meta)


def boxes_of_the_truth(scene: Scene) -> Case:
    """First boxes that are no boxes, and lists with rows too few or too many."""
    write_box_tree(scene.inputs, [square_video(4, step=4)])
    (truth,) = (scene.inputs / "lasot").rglob("groundtruth.txt")
    rows = truth.read_text().splitlines()
    change: Callable[[], list[str]] = scene.pick(
        (
            lambda: ["nan,nan,nan,nan", *rows[1:]],
            lambda: ["1e400,1,5,5", *rows[1:]],
            lambda: ["1,1,0,0", *rows[1:]],
            lambda: ["1,1,-5,5", *rows[1:]],
            lambda: ["1,1,5", *rows[1:]],
            lambda: ["a,b,c,d", *rows[1:]],
            lambda: rows[:-1],
            lambda: [*rows, rows[-1]],
            lambda: [],
            lambda: ["500,500,5,5", *rows[1:]],
            lambda: [row.replace(",", "\t") for row in rows],
            lambda: [row.replace(",", ";") for row in rows],
            lambda: [f"{row}\r" for row in rows],
            lambda: [f"\ufeff{rows[0]}", *rows[1:]],
        )
    )
    truth.write_text("\n".join(change()) + "\n")
    arguments = ["--dataset", "lasot", "--root", scene.inputs / "lasot", "--output", scene.output, "--score"]

    def right(seen: list[np.ndarray]) -> str:
        (path,) = scene.output.glob("*/*_001.txt")
        count = len(path.read_text().splitlines())
        return "" if count == 4 else f"{count} boxes for 4 frames"

    words = ("groundtruth.txt", "made-1", "box")
    return Case(eval_boxes, [*arguments, "--model", scene.model, "--device", "cpu"], ANY, right, words)


def scores_of_other_masks(scene: Scene) -> Case:
    """Results or annotations with soft edges, missing frames, or of another size."""
    ids = draw_objects(scene.rng, (48, 64), (1, 2))
    names = numbered(4)
    for folder in ("results", "truth"):
        for name in names:
            write_mask(scene.inputs / folder / "cat" / f"{name}.png", ids)
    place = scene.inputs / scene.pick(("results", "truth")) / "cat"
    path = place / "00002.png"
    way = scene.pick(("missing", "size", "text", "soft", "extra", "damaged", "hidden"))
    if way == "missing":
        path.unlink()
    elif way == "size":
        write_mask(path, ids[:-9])
    elif way == "text":
        path.write_text("mask")
    elif way == "soft":
        write_mask(path, smoothed(scene, (ids * 100).astype(np.uint8)))
    elif way == "damaged":
        path.write_bytes(path.read_bytes()[:60])
    elif way == "extra":
        write_mask(place / "00099.png", ids)
    else:
        (place / "._00002.png").write_bytes(b"junk")
        (place / ".DS_Store").write_bytes(b"junk")

    def right(seen: list[np.ndarray]) -> str:
        table = (scene.folder / "tables/global_results-val.csv").read_text().splitlines()[-1]
        return "" if float(table.split(",")[0]) > 0.999 else f"J&F of equal masks is {table.split(',')[0]}"

    words, says = ("00002", "00099", "cat"), ("00002", "00099")
    arguments = ["--results", scene.inputs / "results", "--annotations", scene.inputs / "truth", "--workers", 1]
    allowed = {"hidden": KEPT, "extra": ANY, "missing": ANY}.get(way, TOLD)
    return Case(score_script, [*arguments, "--csv", scene.folder / "tables"], allowed, right, words, says)


FAMILIES = (
    whole_archives,
    damaged_archives,
    bare_tars_that_lost_a_part,
    names_of_members,
    cut_streams,
    odd_zips,
    frames_of_meta_json,
    shapes_of_meta_json,
    boxes_of_the_truth,
    scores_of_other_masks,
)
