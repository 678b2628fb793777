"""Bad input and bad arguments of the DAVIS evaluation scripts are named in one line."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval_davis
import eval_davis_2016
from datasets.mask_files import write_binary, write_ids
from tests.helpers.davis_runs import evaluate, frames_of, masks_of
from tests.helpers.davis_trees import make_davis_2016, make_davis_2017, make_mask, write_list
from tests.helpers.failures import failure_line
from tests.helpers.result_files import files_below, shown

PROJECT = Path(__file__).resolve().parents[3]


def fail(capsys, *arguments):
    return failure_line(capsys, lambda: evaluate(*arguments))


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
    "missing list": (lambda davis: (davis / "trainval/ImageSets/2017/val.txt").unlink(), "or give a list"),
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
    assert not output.exists() or shown(output) == []


def test_2016_without_a_list_says_how_to_give_one(tmp_path, output, capsys):
    davis = make_davis_2016(tmp_path / "DAVIS/2016")
    (tmp_path / "DAVIS/2017/trainval/ImageSets/2016/val.txt").unlink()
    assert "pass --davis PATH, or give a list" in fail(capsys, eval_davis_2016, davis, output)
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
    assert "which is read" in fail(capsys, eval_davis, davis, masks_of(davis).parent, "--overwrite")
    assert (masks_of(davis) / "00000.png").read_bytes() == before


def test_a_full_disk_is_one_line_and_leaves_nothing(davis, output, capsys, monkeypatch):
    def save(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    assert "no space left" in fail(capsys, eval_davis, davis, output)
    assert shown(output) == []


def test_a_bad_frame_leaves_the_videos_before_it(davis, output, capsys):
    truncate(frames_of(davis, "cat") / "00002.jpg")
    fail(capsys, eval_davis, davis, output)
    assert [path.name for path in shown(output)] == ["bike"]
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


@pytest.mark.slow
def test_the_script_itself_prints_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "eval_davis.py", "--davis", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: DAVIS root")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
