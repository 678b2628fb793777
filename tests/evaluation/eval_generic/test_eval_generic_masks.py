"""Masks, frames and videos that could be read in more than one way."""

import os

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, write_ids
from tests.helpers.davis_trees import write_frames
from tests.helpers.failures import failure_line
from tests.helpers.generic_runs import MASK, NAMES, SIZE, SeenCore, evaluate
from tests.helpers.result_files import shown


def given(notes):
    return [objects for _, objects in notes]


def write_masks(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        write_ids(folder / f"{name}.png", MASK)
    return [folder / f"{name}.png" for name in names]


def test_a_line_says_what_each_mask_holds(frames, tmp_path, output, capsys):
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[:10, :20], rgb[20:, 30:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(rgb).save(tmp_path / "shot9.png")
    evaluate(frames, output, "--masks", tmp_path / "shot9.png")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mask of")]
    assert lines == ["mask of clip, frame shot9: object 1 (#0000ff) 20 %, object 2 (#ff0000) 10 %"]


def test_files_named_like_frames_are_annotated_frames(frames, tmp_path, output):
    evaluate(frames, output, "--masks", *write_masks(tmp_path, "shot8", "shot11"))
    assert given(SeenCore.passes[0]) == [(2, 5), None, None, (2, 5), None, None]


def test_with_start_files_are_objects_of_that_frame(frames, tmp_path, output):
    evaluate(frames, output, "--masks", *write_masks(tmp_path, "shot8", "shot11"), "--start", "shot12")
    assert sorted(path.stem for path in (output / "clip").iterdir()) == ["shot12", "shot13"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("8", "9"), "may be of frames 0, ... or hold one object each"),
        (("shot8", "dog"), "is named like a frame but"),
    ],
)
def test_files_that_may_be_frames_or_objects_are_refused(frames, tmp_path, output, capsys, names, message):
    masks = write_masks(tmp_path, *names)
    assert message in failure_line(capsys, lambda: evaluate(frames, output, "--masks", *masks))
    assert not output.exists()


def test_a_folder_that_holds_the_folder_of_the_video_means_that(frames, tmp_path, output):
    write_masks(tmp_path / "masks/clip", "shot8", "shot11")
    evaluate(frames, output, "--masks", tmp_path / "masks")
    assert given(SeenCore.passes[0])[3] == (2, 5)


def test_a_mask_with_the_names_of_its_video_and_a_frame_is_refused(tmp_path, output, capsys):
    for name in ("shot9", "b"):
        write_frames(tmp_path / "videos" / name, NAMES)
    write_masks(tmp_path / "masks", "shot9", "b")
    line = failure_line(capsys, lambda: evaluate(tmp_path / "videos", output, "--masks", tmp_path / "masks"))
    assert "has the name of its video and of frame shot9 in it" in line


def test_a_cover_picture_beside_videos_is_left_out(frames, tmp_path, mask, output, caplog):
    root = tmp_path / "videos"
    root.mkdir()
    frames.rename(root / "clip")
    for name in (".hidden", "__MACOSX"):
        (root / name).mkdir()
    Image.new("RGB", SIZE[::-1]).save(root / "cover.jpg")
    write_masks(tmp_path / "masks/clip", "shot8")
    evaluate(root, output, "--masks", tmp_path / "masks")
    assert [path.name for path in shown(output)] == ["clip"]
    assert "cover.jpg stands beside videos and is left out" in caplog.text


def test_pictures_beside_videos_are_refused_unless_they_are_numbered(frames, mask, output, capsys):
    root = frames.parent / "videos"
    write_frames(root, ["front", "back"])
    frames.rename(root / "clip")
    assert "holds pictures" in failure_line(capsys, lambda: evaluate(root, output, "--masks", mask))


def test_results_of_a_link_are_named_after_the_link(frames, mask, output):
    link = frames.parent / "linked"
    link.symlink_to(frames)
    evaluate(link, output, "--masks", mask)
    assert [path.name for path in shown(output)] == ["linked"]


def test_signs_that_look_like_digits_are_letters(tmp_path, mask, output):
    write_frames(tmp_path / "clip", ["0²", "①", "10"])
    evaluate(tmp_path / "clip", output, "--masks", mask)
    assert len(list((output / "clip").iterdir())) == 3


def test_smoothed_edges_are_refused_or_snapped(frames, tmp_path, output, capsys):
    soft = np.zeros((2 * SIZE[0], 2 * SIZE[1]), np.uint8)
    soft[9:41, 11:43], soft[45:67, 55:99] = 80, 200
    Image.fromarray(soft).resize(SIZE[::-1], Image.Resampling.BILINEAR).save(tmp_path / "soft.png")
    arguments = ("--masks", tmp_path / "soft.png")
    assert "smoothed edges" in failure_line(capsys, lambda: evaluate(frames, output, *arguments))
    evaluate(frames, output, *arguments, "--snap")
    assert np.unique(read_ids(output / "clip/shot13.png")).tolist() == [0, 80, 200]


def test_a_background_is_named_by_its_id(frames, tmp_path, output):
    write_ids(tmp_path / "inverted.png", np.where(MASK == 0, 7, 0).astype(np.uint8))
    evaluate(frames, output, "--masks", tmp_path / "inverted.png", "--background", "7")
    assert np.array_equal(read_ids(output / "clip/shot13.png") > 0, MASK > 0)


def test_names_that_are_no_text_are_refused(frames, mask, output, capsys):
    (frames / "shot8.jpg").rename(os.fsdecode(os.fsencode(frames) + b"/shot8\xff.jpg"))
    assert "is not UTF-8" in failure_line(capsys, lambda: evaluate(frames, output, "--masks", mask))
