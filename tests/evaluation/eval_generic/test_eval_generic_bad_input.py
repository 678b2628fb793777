"""Bad input and bad arguments of eval_generic.py are named in one line."""

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import write_ids
from tests.helpers.davis_trees import write_frames
from tests.helpers.failures import failure_line
from tests.helpers.generic_runs import MASK, NAMES, SIZE, evaluate


def fail(capsys, *arguments):
    return failure_line(capsys, lambda: evaluate(*arguments))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "pass --masks"),
        (["--masks", "nowhere.png"], "nowhere.png does not exist"),
        (["--masks", "MASK", "--start", "99"], "no frame 99"),
        (["--masks", "MASK", "--score"], "run without --score"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(frames, mask, output, capsys, flags, message):
    assert message in fail(capsys, frames, output, *(mask if flag == "MASK" else flag for flag in flags))
    assert not output.exists()


def test_a_mask_without_frame_is_named(frames, tmp_path, output, capsys):
    (tmp_path / "masks").mkdir()
    for name in ("shot8", "shot99"):
        write_ids(tmp_path / f"masks/{name}.png", MASK)
    assert "shot99.png belongs to no frame" in fail(capsys, frames, output, "--masks", tmp_path / "masks")


def test_a_mask_of_another_size_is_named(frames, tmp_path, output, capsys):
    write_ids(tmp_path / "wide.png", np.ones((37, 80), np.uint8))
    assert "wide.png is 80x37" in fail(capsys, frames, output, "--masks", tmp_path / "wide.png")


def test_an_empty_mask_is_named(frames, tmp_path, output, capsys):
    write_ids(tmp_path / "empty.png", np.zeros(SIZE, np.uint8))
    assert "empty.png holds no object" in fail(capsys, frames, output, "--masks", tmp_path / "empty.png")


def test_one_mask_for_several_videos_is_refused(tmp_path, mask, output, capsys):
    for name in "ab":
        write_frames(tmp_path / "videos" / name, NAMES)
    assert "several videos" in fail(capsys, tmp_path / "videos", output, "--masks", mask)


def test_a_lossy_mask_is_refused(frames, tmp_path, output, capsys):
    Image.fromarray(MASK * 40).save(tmp_path / "mask.jpg")
    assert "mask.jpg" in fail(capsys, frames, output, "--masks", tmp_path / "mask.jpg")


def test_frames_are_never_overwritten(frames, mask, capsys):
    before = sorted(frames.iterdir())
    assert "which is read" in fail(capsys, frames, frames, "--masks", mask)
    assert sorted(frames.iterdir()) == before
