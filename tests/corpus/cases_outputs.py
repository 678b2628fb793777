"""Outputs that meet the user's files."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

import eval_generic
import try_correspondence
from scripts import check_data, convert_checkpoint
from scripts import score as score_script
from tests.corpus.inputs import (
    Results,
    draw_objects,
    generic,
    make_clip,
    numbered,
    write_frames,
    write_mask,
    write_movie,
)
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene, walk
from tests.helpers.pictures import write_set

ONLY_REFUSED = frozenset({REFUSED})
KEPT = frozenset({RIGHT, SAID})
TOLD = frozenset({SAID, REFUSED})


def nothing_wrong(seen: list[np.ndarray]) -> str:
    """The files of the user are all that matters."""
    return ""


def spelled(scene: Scene, path: Path) -> str:
    """A path in one of the ways to give it: absolute, relative, with a slash, through a link, with dots."""
    way = int(scene.rng.integers(5))
    if way == 0:
        return str(path)
    if way == 1:
        return os.path.relpath(path, scene.folder)
    if way == 2:
        return f"{path}/"
    if way == 3:
        return f"{path.parent}/../{path.parent.name}/{path.name}"
    link = scene.folder / "link"
    link.symlink_to(path, target_is_directory=True)
    return str(link)


def to(arguments: Sequence[object], output: object) -> list[object]:
    """The command line with another output folder."""
    place = list(arguments).index("--output") + 1
    return [*arguments[:place], output, *arguments[place + 1 :]]


def finished_before(scene: Scene, script: ModuleType, arguments: Sequence[object]) -> None:
    """Run a script once; what it writes is ours."""
    before = set(walk(scene.folder))
    former, sys.argv = sys.argv, ["command", *map(str, arguments)]
    try:
        script.main()
    finally:
        sys.argv = former
    scene.ours |= set(walk(scene.folder)) - before


def output_is_the_folder_of_the_input(scene: Scene) -> Case:
    """--input t/clip --output t: the results would stand in place of the frames."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    arguments = to(generic(scene, spelled(scene, clip.folder), mask), os.path.relpath(scene.inputs, scene.folder))
    if scene.rng.random() < 0.5:
        arguments.append("--overwrite")
    results = Results(scene.inputs / "clip", [], {})
    return Case(eval_generic, arguments, ONLY_REFUSED, results, ("clip",))


def output_is_the_folder_of_the_masks(scene: Scene) -> Case:
    """--masks ann/clip/00000.png --output ann."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "ann/clip/00000.png", clip.ids)
    write_mask(mask.with_stem("00002"), clip.ids)
    (mask.parent / "notes.txt").write_text("mine")
    arguments = to(generic(scene, clip.folder, scene.pick((mask, mask.parent))), spelled(scene, scene.inputs / "ann"))
    return Case(eval_generic, arguments, ONLY_REFUSED, nothing_wrong, ("ann", "link", "clip"))


def output_within_the_input(scene: Scene) -> Case:
    """--output is the frames' own folder, or one below it."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    output = clip.folder / scene.pick(("", "results", "a/b"))
    arguments = to(generic(scene, clip.folder, mask), output)
    return Case(eval_generic, arguments, ONLY_REFUSED, nothing_wrong, ("clip",))


def foreign_file_among_results(scene: Scene) -> Case:
    """A note that the user has put beside our results stays."""
    clip = make_clip(scene)
    arguments = generic(scene, clip.folder, write_mask(scene.inputs / "masks/00000.png", clip.ids))
    finished_before(scene, eval_generic, arguments)
    for name in ("notes.txt", "clip/notes.txt", "clip/sub/x.png", "clip/zzz.png"):
        path = scene.output / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    return Case(eval_generic, [*arguments, "--overwrite"], ANY, nothing_wrong, ("clip", "out"))


def edited_result(scene: Scene) -> Case:
    """A result that the user has painted over is the user's."""
    clip = make_clip(scene)
    arguments = generic(scene, clip.folder, write_mask(scene.inputs / "masks/00000.png", clip.ids))
    finished_before(scene, eval_generic, arguments)
    edited = scene.output / "clip/00001.png"
    Image.fromarray(np.full(clip.ids.shape, 1, np.uint8)).save(edited)
    scene.ours.discard(edited)
    flags = scene.pick(((), ("--overwrite",)))
    return Case(eval_generic, [*arguments, *flags], ANY, nothing_wrong, ("clip", "00001"))


def folder_of_the_user_in_place_of_results(scene: Scene) -> Case:
    """The result folder is there already and holds the user's pictures."""
    clip = make_clip(scene)
    arguments = generic(scene, clip.folder, write_mask(scene.inputs / "masks/00000.png", clip.ids))
    for name in scene.pick((["00000.png"], ["a.txt"], [f"{name}.png" for name in clip.names])):
        (scene.output / "clip").mkdir(parents=True, exist_ok=True)
        (scene.output / "clip" / name).write_bytes(b"mine")
    flags = scene.pick(((), ("--overwrite",)))
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids})
    return Case(eval_generic, [*arguments, *flags], ANY, results, ("clip", "out"))


def finished_in_another_way(scene: Scene) -> Case:
    """A finished result of another input, mask or model is not finished."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    finished_before(scene, eval_generic, generic(scene, clip.folder, mask))
    changed = draw_objects(scene.rng, clip.ids.shape, (7, 8))
    arguments = generic(scene, clip.folder, mask)
    if scene.rng.random() < 0.5:
        write_mask(mask, changed)
    else:
        other = scene.inputs / "other/clip"
        shutil.copytree(clip.folder, other)
        arguments = generic(scene, other, write_mask(scene.inputs / "masks/b/00000.png", changed))
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: changed})
    return Case(eval_generic, arguments, ANY, results, ("clip", "out"))


def another_model(scene: Scene) -> Case:
    """The same video by another network is not finished."""
    clip = make_clip(scene)
    arguments = generic(scene, clip.folder, write_mask(scene.inputs / "masks/00000.png", clip.ids))
    finished_before(scene, eval_generic, arguments)
    content = torch.load(scene.model, weights_only=True)
    content["network"] = {key: -value for key, value in content["network"].items()}
    other = scene.inputs / "other.pth"
    torch.save(content, other)
    before = {path: path.read_bytes() for path in scene.output.rglob("*.png")}

    def right(seen: list[np.ndarray]) -> str:
        return "" if seen else f"the results are still those of the other network, {len(before)} files"

    arguments[arguments.index("--model") + 1] = other
    return Case(eval_generic, arguments, ANY, right, ("clip", "out", "other.pth"))


def same_again(scene: Scene) -> Case:
    """A finished result of the same command is skipped."""
    clip = make_clip(scene)
    arguments = generic(scene, clip.folder, write_mask(scene.inputs / "masks/00000.png", clip.ids))
    finished_before(scene, eval_generic, arguments)

    def right(seen: list[np.ndarray]) -> str:
        if seen:
            return "segmented again"
        return Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids})(seen)

    return Case(eval_generic, arguments, KEPT, right)


def results_of_one_name(scene: Scene) -> Case:
    """a.mp4, a.mkv and a/ would share a result folder."""
    names, ids = numbered(3), draw_objects(scene.rng, (32, 48), (1, 2))
    frames = write_frames(scene, scene.inputs / "videos/a", (32, 48), names)
    write_movie(scene.inputs / "videos/a.mp4", frames)
    if scene.rng.random() < 0.5:
        shutil.rmtree(scene.inputs / "videos/a")
        write_movie(scene.inputs / "videos/a.mkv", frames)
    write_mask(scene.inputs / "masks/a.png", ids)
    arguments = generic(scene, scene.inputs / "videos", scene.inputs / "masks")
    return Case(eval_generic, arguments, ONLY_REFUSED, Results(scene.output / "a", [], {}), ("a.mp4", "a.mkv"))


def foreign_file_beside_results(scene: Scene) -> Case:
    """An archive, page or table of the user has the name of one of ours."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    flag, name = scene.pick(
        (
            ("--zip", "out.zip"),
            ("--report", "out-report.html"),
            ("--boxes", "out-boxes/clip.csv"),
            ("--contact_sheet", "out-sheets/clip.png"),
            ("--quality_csv", "out-quality/clip.csv"),
            ("--soft", "out-soft/clip/1/00000.png"),
            ("--soft", "out-soft/clip/notes.txt"),
        )
    )
    path = scene.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return Case(eval_generic, generic(scene, clip.folder, mask, flag), ANY, nothing_wrong, ("out",))


def table_of_the_user(scene: Scene) -> Case:
    """Scores are not written over tables that others have made."""
    ids = draw_objects(scene.rng, (32, 48), (1, 2))
    for folder in ("results", "truth"):
        for name in numbered(3):
            write_mask(scene.inputs / folder / "cat" / f"{name}.png", ids)
    tables = scene.folder / "tables"
    tables.mkdir()
    (tables / scene.pick(("global_results-val.csv", "per-sequence_results-val.csv"))).write_text("mine")
    arguments = ["--results", scene.inputs / "results", "--annotations", scene.inputs / "truth", "--csv", tables]
    return Case(score_script, [*arguments, "--workers", 1], ANY, nothing_wrong, ("tables", "val.csv"))


def picture_of_the_user(scene: Scene) -> Case:
    """try_correspondence.py writes over no picture, least of all its own source."""
    clip = make_clip(scene, suffix=".png")
    source, target = sorted(clip.folder.iterdir())[:2]
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    drawing = scene.folder / "drawing.png"
    Image.new("RGB", (4, 4)).save(drawing)
    place = scene.pick((source, target, mask, drawing))
    outputs = scene.pick((("--output", place), ("--output", scene.output / "x.png", "--mask_output", place)))
    arguments = ["--model", scene.model, "--source", source, "--target", target, "--mask", mask, "--device", "cpu"]
    return Case(try_correspondence, [*arguments, *outputs], ONLY_REFUSED, nothing_wrong, (place.name,))


def checkpoint_of_the_user(scene: Scene) -> Case:
    """convert_checkpoint.py writes over no checkpoint."""
    model = scene.inputs / "model.pth"
    shutil.copy(scene.model, model)
    other = scene.folder / "other.pth"
    other.write_bytes(b"mine")
    place = scene.pick((model, other))
    return Case(convert_checkpoint, ["--model", model, "--output", place], ONLY_REFUSED, nothing_wrong, (place.name,))


def list_of_the_user(scene: Scene) -> Case:
    """check_data.py --list writes over no file of others."""
    write_set(scene.inputs / "static/ecssd")
    path = scene.folder / "list.csv"
    path.write_text("mine")
    roots = ["--davis_root", "none", "--yv_root", "none", "--bl_root", "none", "--static_root", scene.inputs / "static"]
    arguments = [*roots, "--list", path, "--workers", 1]
    return Case(check_data, arguments, ONLY_REFUSED, nothing_wrong, (path.name,))


FAMILIES: tuple[Callable[[Scene], Case], ...] = (
    output_is_the_folder_of_the_input,
    output_is_the_folder_of_the_masks,
    output_within_the_input,
    foreign_file_among_results,
    edited_result,
    folder_of_the_user_in_place_of_results,
    finished_in_another_way,
    another_model,
    same_again,
    results_of_one_name,
    foreign_file_beside_results,
    table_of_the_user,
    picture_of_the_user,
    checkpoint_of_the_user,
    list_of_the_user,
)
