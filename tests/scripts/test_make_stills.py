"""Pairs for stage 0 out of the videos of a list."""

import sys

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, write_ids
from scripts.make_stills import main
from util.errors import InputError


@pytest.fixture
def davis(tmp_path):
    """A video of two frames, the second of which shows an object."""
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / f"davis/{kind}/480p/cow").mkdir(parents=True)
    ids = np.zeros((8, 12), np.uint8)
    for frame in ("00000", "00001"):
        Image.new("RGB", (12, 8)).save(tmp_path / f"davis/JPEGImages/480p/cow/{frame}.jpg")
        write_ids(tmp_path / f"davis/Annotations/480p/cow/{frame}.png", ids)
        ids[2:5, 3:7] = 3
    return tmp_path / "davis"


@pytest.fixture
def make(davis, monkeypatch):
    """Make the stills of the videos of a list with this content; the folder of the pairs."""

    def call(content, root=davis):
        (davis / "list.txt").write_bytes(content)
        output = davis / "stills"
        words = ["--davis", root, "--list", davis / "list.txt", "--output", output]
        monkeypatch.setattr(sys, "argv", ["make_stills.py", *map(str, words)])
        main()
        return output

    return call


@pytest.mark.parametrize("content", [b"cow\n", b"\xef\xbb\xbfcow  \r\n", "cow\r\n".encode("utf-16")])
def test_frames_that_show_an_object_become_pairs(make, content):
    output = make(content)
    assert sorted(path.name for path in output.glob("[!.]*")) == ["cow_00001.jpg", "cow_00001.png"]
    assert read_ids(output / "cow_00001.png").sum() == 3 * 4 * 255


@pytest.mark.parametrize(
    ("content", "message"), [(b"cow\nhen\n", "480p/hen"), (b"\n", "is empty"), (b"\xff\n", "text")]
)
def test_lists_of_videos_that_are_not_there_are_refused_before_anything_is_written(davis, make, content, message):
    with pytest.raises(InputError, match=message):
        make(content)
    assert not (davis / "stills").exists()
