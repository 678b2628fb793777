"""Looking over training data before a run."""

import csv
import os
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import write_ids
from scripts.check_data import main
from tests.helpers.davis_trees import write_list
from tests.helpers.pictures import boxes, write_pair, write_set, write_video
from util.errors import InputError

SETS = {"static_root": "static", "davis_root": "DAVIS", "yv_root": "YouTube", "bl_root": "BL30K"}
FRAME_2 = "BL30K/JPEGImages/cow/00002.jpg"
MASK_2 = "BL30K/Annotations/cow/00002.png"


@pytest.fixture
def data(tmp_path):
    """A healthy tree of each dataset."""
    write_set(tmp_path / "static/ecssd", "abc")
    write_set(tmp_path / "static/fss/ant", "a")
    write_set(tmp_path / "static/fss/bee", "ab")
    palette = [boxes(1, 3), boxes(1), boxes(3, 255)]
    for name in ("dog", "val"):
        for number, ids in enumerate(palette):
            frames, masks = (tmp_path / f"DAVIS/2017/trainval/{kind}/480p" for kind in ("JPEGImages", "Annotations"))
            write_pair(frames / name / f"{number:05d}.jpg", masks / name / f"{number:05d}.png", ids)
    write_list(tmp_path / "DAVIS/2017/trainval/ImageSets/2017/train.txt", ["dog"])
    write_video(tmp_path / "YouTube/train_480p", "cat", [boxes(255, shape=(50, 70))] * 3)
    write_video(tmp_path / "BL30K", "cow", [boxes(1, 2, 4)] * 4)
    write_video(tmp_path / "BL30K", "hen", [boxes(2)] * 3)
    return tmp_path


@pytest.fixture
def check(data, monkeypatch, capsys):
    """Runs the script; gives its exit code, what it prints and the rows of its list."""

    def call(*options, root=data):
        roots = [f"--{option}={root / name}" for option, name in SETS.items()]
        arguments = [*roots, "--workers=2", f"--list={data / 'list.csv'}", *options]
        monkeypatch.setattr(sys, "argv", ["check_data.py", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        with (data / "list.csv").open(newline="") as file:
            return code, capsys.readouterr().out, list(csv.DictReader(file))

    return call


def row(text, name):
    """The cells of a set's row."""
    return next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))


def row_of_counts(text, name):
    """No mask, no frame, unreadable, mismatch, 1-2 px, mixed sizes, too short, no object, colour or wide id."""
    return row(text, name)[5:14]


def only(rows):
    """The one fault as (severity, kind, path)."""
    assert len(rows) == 1
    return rows[0]["severity"], rows[0]["kind"], rows[0]["path"]


def test_a_healthy_tree_passes_with_its_counts(check):
    code, text, rows = check()
    assert (code, rows) == (0, [])
    none = ["0"] * 9
    assert row(text, "static/ecssd")[1:] == ["3", "pictures", "3", "3", *none, "1", "1", "80x60"]
    assert row(text, "static/fss")[1:] == ["3", "pictures", "3", "3", *none, "1", "1", "80x60"]
    assert row(text, "DAVIS")[1:] == ["1", "videos", "3", "3", *none, "1..3", "2", "80x60"]
    assert row(text, "YouTube")[1:] == ["1", "videos", "3", "3", *none, "255", "1", "70x50"]
    assert row(text, "BL30K")[1:] == ["2", "videos", "7", "7", *none, "1..4", "3", "80x60"]
    assert text.splitlines()[-2] == "0 errors, 0 warnings: training can run"


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "half"])
@pytest.mark.parametrize("name", [FRAME_2, MASK_2, "static/ecssd/b.jpg", "static/ecssd/b.png"])
def test_an_unreadable_file_is_an_error(check, data, name, content):
    whole = (data / name).read_bytes()
    (data / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    code, text, rows = check()
    assert code == 1
    assert only(rows) == ("error", "unreadable file", str(data / name))
    assert row_of_counts(text, "static/ecssd" if "static" in name else "BL30K") == list("001000000")
    assert f"error: unreadable file: {data / name} cannot be read as a picture" in text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(check, data):
    (data / FRAME_2).chmod(0)
    code, _, rows = check()
    assert (code, rows[0]["kind"]) == (1, "unreadable file")


@pytest.mark.parametrize("name", [MASK_2, "static/ecssd/b.png"])
@pytest.mark.parametrize(
    ("shape", "severity", "kind"),
    [
        ((60, 81), "warning", "size off by 1-2 px"),
        ((58, 80), "warning", "size off by 1-2 px"),
        ((63, 80), "error", "size mismatch"),
        ((80, 60), "error", "size mismatch"),
    ],
)
def test_a_mask_of_another_size_is_found(check, data, name, shape, severity, kind):
    write_ids(data / name, np.full(shape, 15, np.uint8))
    code, text, rows = check()
    assert code == (severity == "error")
    assert only(rows) == (severity, kind, str(data / name))
    assert rows[0]["problem"] == f"is {shape[1]}x{shape[0]} but its frame is 80x60"
    counts = "000100000" if severity == "error" else "000010000"
    assert row_of_counts(text, "static/ecssd" if "static" in name else "BL30K") == list(counts)


def test_frames_of_different_sizes_in_a_video_are_an_error(check, data):
    write_pair(data / FRAME_2, data / MASK_2, boxes(1, shape=(60, 90)))
    code, text, rows = check()
    assert code == 1
    assert only(rows) == ("error", "sizes differ within a video", str(data / "BL30K/JPEGImages/cow"))
    assert row_of_counts(text, "BL30K") == list("000001000")
    assert row(text, "BL30K")[-1] == "80x60..90x60"


def test_pictures_of_a_set_may_differ_in_size(check, data):
    write_pair(data / "static/ecssd/b.jpg", data / "static/ecssd/b.png", boxes(255, shape=(55, 70)))
    code, text, rows = check()
    assert (code, rows) == (0, [])
    assert row(text, "static/ecssd")[-1] == "70x55..80x60"


def test_frames_without_mask_and_masks_without_frame_are_warnings(check, data):
    (data / MASK_2).unlink()
    (data / "BL30K/JPEGImages/cow/00000.jpg").unlink()
    write_video(data / "BL30K", "hen", [boxes(2)] * 4)
    (data / "BL30K/Annotations/hen/00003.png").unlink()
    (data / "static/fss/bee/a.png").unlink()
    (data / "static/fss/bee/b.jpg").unlink()
    code, text, rows = check()
    assert code == 0
    assert row(text, "static/fss")[1:7] == ["1", "pictures", "2", "2", "1", "1"]
    assert row_of_counts(text, "BL30K") == list("210000100")
    found = {(line["kind"], line["path"].removeprefix(f"{data}/")) for line in rows}
    assert {path for kind, path in found if kind == "mask without frame"} == {
        "BL30K/Annotations/cow/00000.png",
        "static/fss/bee/b.png",
    }
    assert {path for kind, path in found if kind == "frame without mask"} == {
        FRAME_2,
        "BL30K/JPEGImages/hen/00003.jpg",
        "static/fss/bee/a.jpg",
    }


def test_masks_of_a_video_without_frames_are_named(check, data):
    (data / "BL30K/JPEGImages/hen").rename(data / "hen")
    code, text, _ = check()
    assert code == 0
    assert row_of_counts(text, "BL30K") == list("030000000")
    assert f"{data / 'BL30K/Annotations/hen/00000.png'} has no frame" in text


def test_a_short_video_is_a_warning_and_its_files_do_not_count_as_damaged(check, data):
    (data / "BL30K/Annotations/hen/00000.png").unlink()
    (data / "BL30K/Annotations/hen/00001.png").write_bytes(b"")
    code, text, rows = check()
    assert code == 0
    assert row(text, "BL30K")[1] == "2"
    assert row_of_counts(text, "BL30K") == list("100000100")
    assert ("warning", "video too short", str(data / "BL30K/JPEGImages/hen")) in [
        (line["severity"], line["kind"], line["path"]) for line in rows
    ]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        (MASK_2, np.zeros((60, 80), np.uint8)),
        (MASK_2, boxes(255)),
    ],
    ids=["video", "void"],
)
def test_a_mask_without_object_among_others_is_a_warning(check, data, name, ids):
    write_ids(data / name, ids)
    code, text, rows = check()
    assert code == 0
    assert only(rows) == ("warning", "mask without object", str(data / name))
    assert row_of_counts(text, "BL30K") == list("000000010")


def test_a_picture_without_object_is_an_error(check, data):
    write_ids(data / "static/ecssd/b.png", np.zeros((60, 80), np.uint8))
    code, text, rows = check()
    assert (code, only(rows)) == (1, ("error", "no object in any mask", str(data / "static/ecssd/b.png")))
    assert "training can run" not in text


def test_a_dark_colour_of_a_palette_is_an_object(check, data):
    write_ids(data / "static/ecssd/b.png", boxes(1))
    assert check()[0] == 0


def test_a_video_without_object_in_any_mask_is_an_error(check, data):
    write_video(data / "BL30K", "ape", [np.zeros((60, 80), np.uint8)] * 3)
    code, _, rows = check()
    assert (code, only(rows)) == (1, ("error", "no object in any mask", str(data / "BL30K/Annotations/ape")))


def test_smoothed_edges_are_an_error(check, data):
    mask = cv2.GaussianBlur(boxes(255), (0, 0), 1)
    Image.fromarray(mask).save(data / MASK_2)
    code, _, rows = check()
    assert (code, only(rows)) == (1, ("error", "smoothed edges", str(data / MASK_2)))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (Image.new("RGB", (80, 60), "red"), "colour mask"),
        (Image.fromarray(np.full((60, 80), 300, np.uint16)), "id above 255"),
    ],
    ids=["colour", "wide"],
)
def test_a_mask_without_ids_that_training_can_use_is_an_error(check, data, picture, kind, fast):
    picture.save(data / MASK_2)
    code, text, rows = check(*["--fast"] * fast)
    assert code == 1
    assert only(rows) == ("error", kind, str(data / MASK_2))
    assert row_of_counts(text, "BL30K")[-1] == "1"


def test_a_colour_mask_of_a_static_picture_is_read_by_its_brightness(check, data):
    Image.new("RGB", (80, 60), "white").save(data / "static/ecssd/b.png")
    code, _, rows = check()
    assert (code, rows) == (0, [])


def test_a_folder_of_pictures_that_training_leaves_out_is_named(check, data):
    write_set(data / "static/duts/images", "ab")
    (data / "static/duts/masks").mkdir()
    for name in "ab":
        (data / f"static/duts/images/{name}.png").rename(data / f"static/duts/masks/{name}.png")
    code, text, rows = check()
    assert code == 0
    assert row(text, "static/duts")[1:7] == ["0", "pictures", "2", "2", "2", "2"]
    assert rows[-1]["kind"] == "set left out" and f"{data / 'static/duts'} holds no picture" in text


def test_missing_roots_are_reported_and_do_not_fail(check, data):
    (data / "BL30K").rename(data / "elsewhere")
    code, text, rows = check("--davis_root=none")
    assert (code, rows) == (0, [])
    assert f"missing: {data / 'BL30K'} does not exist" in text
    assert not any(line.startswith("DAVIS") for line in text.splitlines())


def test_no_root_at_all_is_an_input_error(check, data):
    with pytest.raises(InputError, match="none of the roots"):
        check(root=data / "nowhere")


@pytest.mark.parametrize(
    ("damage", "name"),
    [("YouTube/train_480p", "YouTube"), ("DAVIS/2017", "DAVIS"), ("BL30K/Annotations", "BL30K")],
)
def test_a_root_from_which_training_could_not_start_is_an_error(check, data, damage, name):
    (data / damage).rename(data / "elsewhere")
    code, text, rows = check()
    assert code == 1
    assert only(rows) == ("error", "no samples", str(data / name))
    assert row(text, name)[1] == "0"
    assert row(text, "static/ecssd")[1] == "3"


def test_a_set_of_short_videos_alone_is_an_error(check, data):
    (data / "YouTube/train_480p/Annotations/cat/00000.png").unlink()
    code, _, rows = check()
    assert code == 1
    assert [line["kind"] for line in rows] == ["frame without mask", "video too short", "no samples"]


def test_a_list_restricts_the_youtube_videos(check, data):
    write_video(data / "YouTube/train_480p", "owl", [boxes(1)] * 2)
    code, text, rows = check("--yv_list", write_list(data / "yv.txt", ["cat"]))
    assert (code, rows) == (0, [])
    assert row(text, "YouTube")[1] == "1"


def test_a_list_restricts_the_davis_videos(check, data):
    write_list(data / "DAVIS/2017/trainval/ImageSets/2017/train.txt", ["dog", "val"])
    assert row(check()[1], "DAVIS")[1] == "2"
    code, text, _ = check("--davis_list", write_list(data / "davis.txt", ["val"]))
    assert code == 0
    assert row(text, "DAVIS")[1] == "1"


def test_fast_finds_sizes_and_broken_headers_and_says_what_it_leaves_out(check, data):
    write_ids(data / MASK_2, boxes(1, shape=(70, 80)))
    (data / "static/ecssd/b.png").write_bytes(b"")
    cut = data / "BL30K/Annotations/hen/00000.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    write_ids(data / "YouTube/train_480p/Annotations/cat/00000.png", np.zeros((50, 70), np.uint8))
    code, text, rows = check("--fast")
    assert code == 1
    assert [line["kind"] for line in rows] == ["unreadable file", "size mismatch"]
    assert "only headers were read" in text
    assert row(text, "BL30K")[-6:] == ["0", "-", "0", "-", "-", "80x60"]


def test_of_many_faults_some_of_each_kind_are_shown_and_all_are_listed(check, data):
    write_video(data / "BL30K", "ape", [boxes(1)] + [np.zeros((60, 80), np.uint8)] * 30)
    (data / FRAME_2).write_bytes(b"")
    code, text, rows = check()
    shown = [line for line in text.splitlines() if line.startswith(("error: ", "warning: "))]
    assert (code, len(rows), len(shown)) == (1, 31, 20)
    assert shown[0].startswith("error: unreadable file: ") and "00001.png shows no object" in shown[1]
    assert "... and 11 more" in text and "1 errors, 30 warnings" in text
    assert set(rows[0]) == {"set", "severity", "kind", "path", "problem"}


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--yv_list=nowhere.txt"], "--yv_list"), (["--list=/"], "--list")],
)
def test_bad_options_are_input_errors(check, options, message):
    with pytest.raises(InputError, match=message):
        check(*options)


def test_ids_and_objects_of_pictures_with_several_are_counted(check, data):
    write_pair(data / "static/ecssd/b.jpg", data / "static/ecssd/b.png", boxes(2, 5, 9))
    code, text, _ = check()
    assert code == 0
    assert row(text, "static/ecssd")[-3:] == ["1..9", "3", "80x60"]
