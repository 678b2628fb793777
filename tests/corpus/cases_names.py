"""Which frame a mask belongs to, what is a video, and names in other scripts."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

import eval_davis
import eval_generic
from tests.corpus.inputs import Results, draw_objects, generic, make_clip, numbered, write_frames, write_mask
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene
from tests.helpers.davis_trees import make_davis_2017, make_mask

TOLD = frozenset({SAID, REFUSED})
KEPT = frozenset({RIGHT, SAID})
ONLY_REFUSED = frozenset({REFUSED})
FORMS = ("{}", "{:05d}", "frame_{:04d}", "shot{}", "{:03d}")


def equal_number(scene: Scene) -> Case:
    """A mask that has the number of a frame in other digits belongs to that frame, or is refused."""
    form = scene.pick(FORMS)
    clip = make_clip(scene, form=form)
    position = int(scene.rng.integers(1, len(clip.names)))
    other = scene.pick([f for f in ("{}", "{:05d}", "{:04d}", "{:08d}") if f.format(position) != form.format(position)])
    prefix = form.partition("{")[0] if scene.rng.random() < 0.5 else ""
    mask = scene.inputs / f"masks/{prefix}{other.format(position)}.png"
    if mask.stem == clip.names[position]:
        mask = mask.with_stem(f"{prefix}{position:07d}")
    write_mask(mask, clip.ids)
    masks = mask.parent if scene.rng.random() < 0.5 else mask
    results = Results(scene.output / "clip", clip.names[position:], {clip.names[position]: clip.ids})
    return Case(
        eval_generic,
        generic(scene, clip.folder, masks),
        TOLD,
        results,
        (mask.name, mask.stem),
        (mask.name, f"frame {clip.names[position]}"),
    )


def exact_name(scene: Scene) -> Case:
    """A mask belongs to the frame whose name it bears."""
    clip = make_clip(scene, form=scene.pick(FORMS))
    position = int(scene.rng.integers(len(clip.names)))
    mask = write_mask(scene.inputs / f"masks/{clip.names[position]}.png", clip.ids)
    masks = mask.parent if scene.rng.random() < 0.5 else mask
    results = Results(scene.output / "clip", clip.names[position:], {clip.names[position]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, masks), KEPT, results)


def no_such_number(scene: Scene) -> Case:
    """A number that no frame has."""
    clip = make_clip(scene, form=scene.pick(FORMS[:2]))
    mask = write_mask(scene.inputs / f"masks/{scene.pick(('00099', '77', '0050'))}.png", clip.ids)
    masks = mask.parent if scene.rng.random() < 0.5 else mask
    results = Results(scene.output / "clip", [], {})
    return Case(eval_generic, generic(scene, clip.folder, masks), ONLY_REFUSED, results, (mask.name, mask.stem))


def other_name_with_number(scene: Scene) -> Case:
    """mask_00002.png may mean frame 2 or the first."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / f"masks/{scene.pick(('mask_00002', 'm2', 'cat-2', 'mask 2'))}.png", clip.ids)
    on_second = Results(scene.output / "clip", clip.names[2:], {clip.names[2]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, mask), TOLD, on_second, (mask.name, mask.stem))


def name_without_number(scene: Scene) -> Case:
    """A name that tells nothing means the first frame."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / f"masks/{scene.pick(('first', 'mask', 'cat (copy)', 'Maske-ä'))}.png", clip.ids)
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, mask), KEPT, results)


def start_decides(scene: Scene) -> Case:
    """--start says which frame is meant."""
    clip = make_clip(scene)
    position = int(scene.rng.integers(len(clip.names)))
    mask = write_mask(scene.inputs / f"masks/{scene.pick(('first', 'mask_00001', '00077'))}.png", clip.ids)
    start = scene.pick((str(position), clip.names[position]))
    results = Results(scene.output / "clip", clip.names[position:], {clip.names[position]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, mask, "--start", start), KEPT, results)


def files_named_like_frames(scene: Scene) -> Case:
    """What the shell makes of --masks folder/*.png."""
    clip = make_clip(scene, form=scene.pick(FORMS))
    second = draw_objects(scene.rng, clip.ids.shape, (1, 2))
    masks = [scene.inputs / f"masks/{clip.names[position]}.png" for position in (0, 2)]
    for mask, ids in zip(masks, (clip.ids, second), strict=True):
        write_mask(mask, ids)
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids, clip.names[2]: second})
    return Case(eval_generic, generic(scene, clip.folder, masks), ANY, results, [mask.name for mask in masks])


def files_with_numbers_of_frames(scene: Scene) -> Case:
    """1.png and 2.png may be objects 1 and 2, or the masks of frames 1 and 2."""
    clip = make_clip(scene)
    masks = [scene.inputs / f"masks/{number}.png" for number in (1, 2)]
    for mask in masks:
        write_mask(mask, clip.ids)
    results = Results(scene.output / "clip", clip.names[1:], {clip.names[1]: clip.ids, clip.names[2]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, masks), TOLD, results, [mask.name for mask in masks])


def frames_and_others_mixed(scene: Scene) -> Case:
    """One file is named like a frame, the other is not."""
    clip = make_clip(scene)
    masks = [scene.inputs / "masks/00000.png", scene.inputs / "masks/dog.png"]
    for mask in masks:
        write_mask(mask, clip.ids)
    results = Results(scene.output / "clip", [], {})
    return Case(eval_generic, generic(scene, clip.folder, masks), ONLY_REFUSED, results, [mask.name for mask in masks])


def two_masks_of_one_frame(scene: Scene) -> Case:
    """00001.png and 1.png beside each other."""
    clip = make_clip(scene)
    for name in ("00001", scene.pick(("1", "001"))):
        write_mask(scene.inputs / f"masks/{name}.png", draw_objects(scene.rng, clip.ids.shape, (1, 2)))
    results = Results(scene.output / "clip", [], {})
    words = ("00001", "1.png", "001.png")
    return Case(eval_generic, generic(scene, clip.folder, scene.inputs / "masks"), ONLY_REFUSED, results, words)


def things_nobody_meant(scene: Scene) -> Case:
    """Hidden files, those of macOS and Windows, and text files among frames and masks."""
    clip = make_clip(scene)
    write_mask(scene.inputs / f"masks/{clip.names[0]}.png", clip.ids)
    for folder in (clip.folder, scene.inputs / "masks"):
        for name in ("._00000.jpg", "._00001.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"):
            if scene.rng.random() < 0.6:
                (folder / name).write_bytes(scene.rng.bytes(50))
        (folder / scene.pick((".hidden", "__MACOSX"))).mkdir()
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids})
    return Case(eval_generic, generic(scene, clip.folder, scene.inputs / "masks"), KEPT, results)


def picture_beside_videos(scene: Scene) -> Case:
    """A cover beside folders of frames does not make one video of them."""
    ids = draw_objects(scene.rng, (32, 48), (1, 2))
    names = numbered(3)
    for video in ("a", "b"):
        write_frames(scene, scene.inputs / "videos" / video, (32, 48), names)
        write_mask(scene.inputs / f"masks/{video}/00000.png", ids)
    cover = scene.pick(("cover.jpg", "poster.png", "Folder.JPG"))
    Image.new("RGB", (48, 32)).save(scene.inputs / "videos" / cover)

    def right(seen: list[np.ndarray]) -> str:
        return "".join(Results(scene.output / video, names, {"00000": ids})(seen) for video in ("a", "b"))

    return Case(eval_generic, generic(scene, scene.inputs / "videos", scene.inputs / "masks"), TOLD, right, (cover,))


def digits_of_other_scripts(scene: Scene) -> Case:
    """Names with superscripts, circled and Arabic digits."""
    names = scene.pick(
        (
            ["0²", "1²", "2²"],
            ["①", "②", "③"],
            ["a\u0660", "a\u0661", "a\u0662"],
            ["x½", "y½", "z½"],
            ["\u1040", "\u1041", "\u1042"],
        )
    )
    frames = write_frames(scene, scene.inputs / "clip", (32, 48), names)
    ids = draw_objects(scene.rng, frames[0].shape[:2], (1, 2))
    mask = write_mask(scene.inputs / f"masks/{names[0]}.png", ids)
    results = Results(scene.output / "clip", names, {names[0]: ids})
    return Case(eval_generic, generic(scene, scene.inputs / "clip", mask), KEPT, results)


def linked_folder(scene: Scene) -> Case:
    """Results of a linked folder are named after the link."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    link = scene.inputs / "linked"
    link.symlink_to(clip.folder, target_is_directory=True)
    source = scene.pick((str(link), f"{link}/", os.path.relpath(link, scene.folder)))
    results = Results(scene.output / "linked", clip.names, {clip.names[0]: clip.ids})
    return Case(eval_generic, generic(scene, source, mask), KEPT, results)


def suffix_in_capitals(scene: Scene) -> Case:
    """.JPG and .PNG count as .jpg and .png."""
    clip = make_clip(scene, suffix=scene.pick((".JPG", ".Jpeg", ".PNG", ".TIF", ".Bmp")))
    mask = write_mask(scene.inputs / "masks/00001.png", clip.ids)
    mask = mask.rename(mask.with_suffix(".PNG"))
    results = Results(scene.output / "clip", clip.names[1:], {clip.names[1]: clip.ids})
    masks = scene.pick((mask, mask.parent))
    return Case(eval_generic, generic(scene, clip.folder, masks), KEPT, results)


def name_that_is_not_utf8(scene: Scene) -> Case:
    """Bytes that are no text, in the name of the folder or of the frames."""
    odd = os.fsdecode(b"caf\xe9")
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / "masks/first.png", clip.ids)
    folder = clip.folder.rename(clip.folder.with_name(odd))
    results = Results(scene.output / odd, clip.names, {clip.names[0]: clip.ids})
    flags = scene.pick(((), ("--report",), ("--boxes",), ("--quality_csv",)))
    return Case(eval_generic, generic(scene, folder, mask, *flags), ANY, results, ("caf",))


def two_suffixes_of_one_frame(scene: Scene) -> Case:
    """00001.jpg beside 00001.png."""
    clip = make_clip(scene)
    Image.fromarray(clip.frames[1]).save(clip.folder / "00001.png")
    mask = write_mask(scene.inputs / "masks/00000.png", clip.ids)
    results = Results(scene.output / "clip", [], {})
    return Case(eval_generic, generic(scene, clip.folder, mask), ONLY_REFUSED, results, ("00001", "clip"))


def davis_results(scene: Scene, videos: tuple[str, ...]) -> Case:
    """A run of eval_davis.py on a small tree; arguments and outcomes are filled in by others."""

    def right(seen: list[np.ndarray]) -> str:
        found = sorted(path.name for path in scene.output.iterdir() if path.is_dir())
        if found != sorted(videos):
            return f"results of {found}, not of {sorted(videos)}"
        return "".join(Results(scene.output / name, numbered(4), {"00000": make_mask()})(seen) for name in videos)

    arguments = ["--davis", scene.inputs / "DAVIS", "--output", scene.output, "--model", scene.model, "--device", "cpu"]
    return Case(eval_davis, arguments, KEPT, right)


def videos_without_list(scene: Scene) -> Case:
    """The names are given, so the list is not needed."""
    root = make_davis_2017(scene.inputs / "DAVIS", ("bike", "cat", "dog"))
    lists = list(root.rglob("val.txt"))
    for path in lists:
        path.unlink()
    case = davis_results(scene, ("dog", "bike"))
    return Case(eval_davis, [*case.arguments, "--videos", "dog", "bike"], KEPT, case.right, ("val.txt",))


def list_of_another_editor(scene: Scene) -> Case:
    """Lists with a byte order mark, other line ends, in UTF-16, with blanks."""
    make_davis_2017(scene.inputs / "DAVIS", ("bike", "cat", "dog"))
    text = scene.pick(("bike\ndog\n", "bike\r\ndog\r\n", "bike\rdog\r", "bike  \n\n dog\n", "bike\ndog"))
    coding = scene.pick(("utf-8", "utf-8-sig", "utf-16", "latin-1"))
    path = scene.inputs / "names.txt"
    path.write_bytes(text.encode(coding))
    case = davis_results(scene, ("bike", "dog"))
    return Case(eval_davis, [*case.arguments, "--list", path], ANY, case.right, (path.name,))


def mask_of_no_frame_in_a_tree(scene: Scene) -> Case:
    """The first frame of a DAVIS video has no mask, but one of another name is there."""
    root = make_davis_2017(scene.inputs / "DAVIS", ("bike",))
    masks: Path = root / "trainval/Annotations/480p/bike"
    (masks / "00000.png").rename(masks / scene.pick(("00099.png", "0.png", "000000.png", "first.png")))
    case = davis_results(scene, ("bike",))
    return Case(eval_davis, case.arguments, TOLD, case.right, ("bike", "00000"), result=scene.output / "bike")


FAMILIES = (
    equal_number,
    exact_name,
    no_such_number,
    other_name_with_number,
    name_without_number,
    start_decides,
    files_named_like_frames,
    files_with_numbers_of_frames,
    frames_and_others_mixed,
    two_masks_of_one_frame,
    things_nobody_meant,
    picture_beside_videos,
    digits_of_other_scripts,
    linked_folder,
    suffix_in_capitals,
    name_that_is_not_utf8,
    two_suffixes_of_one_frame,
    videos_without_list,
    list_of_another_editor,
    mask_of_no_frame_in_a_tree,
)
