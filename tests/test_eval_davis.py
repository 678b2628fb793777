"""The DAVIS evaluation scripts from the command line to the files, with a core that needs no network."""

import csv
import errno
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import core_factory
import eval_davis
import eval_davis_2016
from tests.davis_trees import (
    FakeCore,
    make_davis_2016,
    make_davis_2017,
    make_mask,
    write_list,
    write_video_2017,
)
from util.errors import run
from util.images import read_ids, write_binary, write_ids
from util.palette import voc_palette

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """Both scripts build the fake core; the list collects the checkpoints that are asked for."""
    loaded = []
    monkeypatch.setattr(core_factory, "load_network", lambda path, device: loaded.append(path))
    for script in (eval_davis, eval_davis_2016):
        monkeypatch.setattr(script, "InferenceCore", FakeCore)
    return loaded


def evaluate(script, davis, output, *flags):
    script.main(["--davis", str(davis), "--output", str(output), "--device", "cpu", *map(str, flags)])


def fail(capsys, script, davis, output, *flags):
    """The one line on stderr of a call that must fail with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        run(lambda: evaluate(script, davis, output, *flags))
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def davis(tmp_path):
    return make_davis_2017(tmp_path / "DAVIS/2017")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results/val"


def masks_of(davis, video="bike"):
    return davis / "trainval/Annotations/480p" / video


def frames_of(davis, video="bike"):
    return davis / "trainval/JPEGImages/480p" / video


# Results


def test_results_keep_the_object_ids_of_the_first_mask(davis, output):
    evaluate(eval_davis, davis, output)
    assert files_below(output) == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]
    for path in output.rglob("*.png"):
        np.testing.assert_array_equal(read_ids(path), make_mask(objects=(2, 5, 9)))


def test_results_of_2017_are_palette_files_with_the_davis_palette(davis, output):
    evaluate(eval_davis, davis, output)
    picture = Image.open(output / "bike/00003.png")
    assert picture.mode == "P"
    assert picture.getpalette() == voc_palette().ravel().tolist()


def test_void_is_not_an_object(davis, output):
    ids = make_mask(objects=(1, 255, 3))
    write_ids(masks_of(davis) / "00000.png", ids)
    evaluate(eval_davis, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00002.png"), np.where(ids == 255, 0, ids))


def test_results_of_2016_are_grey_files_with_0_and_255(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    evaluate(eval_davis_2016, davis, output)
    picture = Image.open(output / "cat/00003.png")
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.array(picture), np.where(make_mask() > 0, 255, 0))


def test_2016_merges_all_labels(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    write_ids(davis / "Annotations/480p/bike/00000.png", make_mask(objects=(1, 2, 255)))
    evaluate(eval_davis_2016, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00001.png") > 0, make_mask() > 0)


def test_testdev_needs_only_the_first_masks(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", split="testdev")
    evaluate(eval_davis, davis, output, "--split", "testdev")
    assert len(files_below(output)) == 8


def test_frames_with_any_names_are_taken_in_natural_order(tmp_path, output):
    names = ("shot1", "shot2", "shot10", "shot11")
    davis = make_davis_2017(tmp_path / "2017", videos=("bike",), names=names)
    evaluate(eval_davis, davis, output)
    assert files_below(output) == sorted(f"bike/{name}.png" for name in names)
    assert FakeCore.seen == sorted(FakeCore.seen)


def test_results_have_the_size_of_the_first_mask_where_it_differs_from_the_frames(davis, output, caplog):
    write_ids(masks_of(davis) / "00000.png", make_mask(size=(37, 52)))
    evaluate(eval_davis, davis, output)
    assert read_ids(output / "bike/00002.png").shape == (37, 52)
    assert "mask is resized" in caplog.text


def test_a_run_tells_frames_speed_and_memory(davis, output, capsys):
    evaluate(eval_davis, davis, output)
    out = capsys.readouterr().out
    assert "bike: 4 frames" in out
    assert "8 frames in" in out
    assert "with reading and writing" in out
    assert "peak memory" in out


def test_half_precision_gives_results(davis, output):
    evaluate(eval_davis, davis, output, "--amp", "bf16")
    np.testing.assert_array_equal(read_ids(output / "bike/00002.png"), make_mask())


def test_memory_flags_reach_the_core(davis, output, monkeypatch):
    cores = []

    class NotedCore(FakeCore):
        def __init__(self, network, **options):
            super().__init__(network, **options)
            cores.append(self)

    monkeypatch.setattr(eval_davis, "InferenceCore", NotedCore)
    flags = ["--no_top", "--use_km", "--mem_every", 3, "--mem_capacity", 7, "--quality_threshold", 0.5]
    evaluate(eval_davis, davis, output, *flags, "--memory", "latest", "--mem_annotated", 4, "--compat")
    assert len(cores) == 2, "each video has its own core"
    assert cores[0].options == {
        "top_k": None,
        "km_sigma": 5.6,
        "mem_every": 3,
        "capacity": 7,
        "annotations": 4,
        "quality_threshold": 0.5,
        "policy": "latest",
        "gate": "mean",
        "compat": True,
    }


# Choosing videos


def test_only_the_named_videos_are_segmented(davis, output):
    evaluate(eval_davis, davis, output, "--videos", "cat")
    assert [path.name for path in output.iterdir()] == ["cat"]


def test_a_list_file_takes_the_place_of_the_sets_own(davis, output, tmp_path):
    evaluate(eval_davis, davis, output, "--list", write_list(tmp_path / "mine.txt", ["cat"]))
    assert [path.name for path in output.iterdir()] == ["cat"]


@pytest.mark.parametrize("place", ["ImageSets/2016/val.txt", "ImageSets/480p/val.txt"])
def test_2016_finds_its_list_within_its_own_tree(tmp_path, output, place):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2016/val.txt").unlink()
    lines = [f"/JPEGImages/480p/cat/{i:05d}.jpg /Annotations/480p/cat/{i:05d}.png" for i in range(4)]
    write_list(davis / place, lines if "480p" in place else ["cat"])
    evaluate(eval_davis_2016, davis, output)
    assert [path.name for path in output.iterdir()] == ["cat"]


# Running again


def test_a_rerun_skips_finished_videos_and_loads_no_network(davis, output, built, capsys):
    evaluate(eval_davis, davis, output)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    built.clear()
    evaluate(eval_davis, davis, output)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == times
    assert built == []
    assert "2 finished videos skipped" in capsys.readouterr().out


def test_overwrite_segments_finished_videos_again(davis, output):
    evaluate(eval_davis, davis, output)
    write_ids(output / "bike/00001.png", np.zeros((37, 53), np.uint8))
    (output / "bike/stale.png").touch()
    evaluate(eval_davis, davis, output, "--overwrite")
    np.testing.assert_array_equal(read_ids(output / "bike/00001.png"), make_mask())
    assert len(files_below(output)) == 8


def test_an_unfinished_video_is_segmented_again(davis, output):
    evaluate(eval_davis, davis, output)
    (output / "cat/00003.png").unlink()
    (output / ".bike.partial").mkdir()
    (output / "bike").rename(output / ".bike.partial/bike")
    evaluate(eval_davis, davis, output)
    assert files_below(output) == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]


# Score, archive, sheets, tables


def test_scoring_perfect_results_gives_one(davis, output, capsys):
    evaluate(eval_davis, davis, output, "--score")
    assert "1.000" in capsys.readouterr().out
    with (output.with_name("val-scores") / "global_results-val.csv").open() as stream:
        assert next(csv.DictReader(stream))["J&F-Mean"] == "1.000"


def test_2016_is_scored_as_one_object(tmp_path, output):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    evaluate(eval_davis_2016, davis, output, "--score")
    with (output.with_name("val-scores") / "per-sequence_results-val.csv").open() as stream:
        assert [row["Sequence"] for row in csv.DictReader(stream)] == ["bike_1", "cat_1"]


def test_the_archive_holds_the_videos_of_the_list_at_its_top(davis, output):
    (output / "another").mkdir(parents=True)
    (output / "another/00000.png").touch()
    evaluate(eval_davis, davis, output, "--zip")
    with zipfile.ZipFile(output.with_name("val.zip")) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]
        assert archive.read("cat/00002.png") == (output / "cat/00002.png").read_bytes()


def test_contact_sheets_and_quality_tables_lie_beside_the_results(davis, output):
    evaluate(eval_davis, davis, output, "--contact_sheet", "--quality_csv")
    assert files_below(output.with_name("val-sheets")) == ["bike.png", "cat.png"]
    with (output.with_name("val-quality") / "cat.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows[::3]] == ["00000", "00001", "00002", "00003"]
    assert (rows[11]["object"], rows[11]["quality"]) == ("9", "0.9000")
    assert len(files_below(output)) == 8


# Bad input: (damage to the tree, words of the message)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save_colour_mask(davis):
    Image.fromarray(np.zeros((37, 53, 3), np.uint8)).save(masks_of(davis) / "00000.png")


def save_deep_mask(davis):
    Image.fromarray(np.full((37, 53), 300, np.uint16)).save(masks_of(davis) / "00000.png")


def empty_video(davis):
    for path in frames_of(davis).iterdir():
        path.unlink()


def shrink_last_frame(davis):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(frames_of(davis) / "00003.jpg")


def save_frame_as_png(davis):
    Image.fromarray(np.zeros((37, 53, 3), np.uint8)).save(frames_of(davis) / "00002.png")


BAD_INPUT = {
    "missing root": (lambda davis: davis.rename(davis.with_name("moved")), "does not exist"),
    "missing split": (lambda davis: (davis / "trainval").rename(davis / "train"), "trainval does not exist"),
    "missing list": (lambda davis: (davis / "trainval/ImageSets/2017/val.txt").unlink(), "--list"),
    "empty list": (lambda davis: write_list(davis / "trainval/ImageSets/2017/val.txt", [""]), "is empty"),
    "missing sequence": (lambda davis: frames_of(davis).rename(davis / "moved"), "bike does not exist"),
    "empty sequence": (empty_video, "holds no picture"),
    "two frames of one name": (save_frame_as_png, "two frames with one name"),
    "truncated first frame": (lambda davis: truncate(frames_of(davis) / "00000.jpg"), "00000.jpg cannot be read"),
    "truncated last frame": (lambda davis: truncate(frames_of(davis) / "00003.jpg"), "00003.jpg cannot be read"),
    "unreadable frame": (lambda davis: (frames_of(davis) / "00002.jpg").write_text("no"), "00002.jpg cannot be read"),
    "frame of another size": (shrink_last_frame, "is 30x20"),
    "missing first mask": (lambda davis: (masks_of(davis) / "00000.png").unlink(), "no mask of its first frame"),
    "truncated mask": (lambda davis: truncate(masks_of(davis) / "00000.png"), "00000.png cannot be read"),
    "mask of another size": (
        lambda davis: write_ids(masks_of(davis) / "00000.png", make_mask(size=(40, 53))),
        "its frame is 53x37",
    ),
    "colour mask": (save_colour_mask, "colour picture"),
    "ids above 255": (save_deep_mask, "holds id 300"),
    "no object": (
        lambda davis: write_ids(masks_of(davis) / "00000.png", np.zeros((37, 53), np.uint8)),
        "holds no object",
    ),
    "nothing but void": (
        lambda davis: write_binary(masks_of(davis) / "00000.png", make_mask() > 0),
        "holds no object",
    ),
}


@pytest.mark.parametrize("damage, message", BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_line_and_leaves_nothing(davis, output, capsys, damage, message):
    damage(davis)
    assert message in fail(capsys, eval_davis, davis, output)
    assert not output.exists() or list(output.iterdir()) == []


def test_2016_without_a_list_says_how_to_give_one(tmp_path, output, capsys):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2016/val.txt").unlink()
    assert "--list" in fail(capsys, eval_davis_2016, davis, output)
    assert not output.exists()


def test_a_missing_root_of_2016_is_named(tmp_path, output, capsys):
    assert "no/davis does not exist" in fail(capsys, eval_davis_2016, tmp_path / "no/davis", output)


def test_an_unknown_video_is_named(davis, output, capsys):
    assert "video dog is not in" in fail(capsys, eval_davis, davis, output, "--videos", "dog")


def test_an_output_folder_that_cannot_be_made_is_named(davis, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert "not writable" in fail(capsys, eval_davis, davis, tmp_path / "file/results")


def test_the_dataset_is_never_overwritten(davis, capsys):
    before = (masks_of(davis) / "00000.png").read_bytes()
    assert "holds the dataset" in fail(capsys, eval_davis, davis, masks_of(davis).parent, "--overwrite")
    assert (masks_of(davis) / "00000.png").read_bytes() == before


def test_a_full_disk_is_one_line_and_leaves_nothing(davis, output, capsys, monkeypatch):
    def save(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    assert "no space left" in fail(capsys, eval_davis, davis, output)
    assert list(output.iterdir()) == []


def test_a_bad_frame_leaves_the_videos_before_it(davis, output, capsys):
    truncate(frames_of(davis, "cat") / "00002.jpg")
    fail(capsys, eval_davis, davis, output)
    assert [path.name for path in output.iterdir()] == ["bike"]
    assert len(files_below(output)) == 4


def test_a_bad_frame_keeps_the_old_results_of_its_video(davis, output, capsys):
    evaluate(eval_davis, davis, output)
    truncate(frames_of(davis) / "00002.jpg")
    fail(capsys, eval_davis, davis, output, "--overwrite")
    assert files_below(output) == [f"{video}/{frame:05d}.png" for video in ("bike", "cat") for frame in range(4)]


def test_scores_without_annotations_are_refused_before_the_run(tmp_path, output, capsys, built):
    davis = make_davis_2017(tmp_path / "2017", split="testdev")
    message = fail(capsys, eval_davis, davis, output, "--split", "testdev", "--score")
    assert "no true masks of all frames" in message
    assert built == []
    assert not output.exists()


def test_an_archive_of_some_videos_is_refused(davis, output, capsys):
    assert "without --videos" in fail(capsys, eval_davis, davis, output, "--zip", "--videos", "cat")


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named(davis, output, capsys, device):
    assert f"device {device}" in fail(capsys, eval_davis, davis, output, "--device", device)


def test_the_script_itself_prints_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "eval_davis.py", "--davis", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: DAVIS root")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_video_of_one_frame_is_its_own_mask(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", videos=("still",), names=("only",))
    evaluate(eval_davis, davis, output, "--contact_sheet")
    np.testing.assert_array_equal(read_ids(output / "still/only.png"), make_mask())


def test_videos_may_differ_in_size_and_objects(tmp_path, output):
    davis = make_davis_2017(tmp_path / "2017", videos=("bike",))
    large = make_mask(objects=(1, 200), size=(50, 81))
    write_video_2017(davis, "large", ids=large)
    write_list(davis / "trainval/ImageSets/2017/val.txt", ["bike", "large"])
    evaluate(eval_davis, davis, output)
    np.testing.assert_array_equal(read_ids(output / "bike/00003.png"), make_mask())
    np.testing.assert_array_equal(read_ids(output / "large/00003.png"), large)
