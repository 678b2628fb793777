"""The copied first mask."""

import numpy as np
import pytest

from datasets.mask_files import read_ids, write_ids
from evaluation.baseline import copy_first_masks
from util.errors import InputError


def test_every_frame_gets_the_first_mask(tmp_path):
    folder = tmp_path / "masks/cow"
    folder.mkdir(parents=True)
    for number in range(3):
        write_ids(folder / f"{number:05d}.png", np.full((4, 5), number + 1, np.uint8))
    copy_first_masks(tmp_path / "masks", tmp_path / "out", ["cow"])
    assert [read_ids(tmp_path / f"out/cow/{n:05d}.png").max() for n in range(3)] == [1, 1, 1]


def test_a_missing_sequence_is_named(tmp_path):
    with pytest.raises(InputError, match="cow"):
        copy_first_masks(tmp_path, tmp_path / "out", ["cow"])


def test_a_file_of_the_user_is_not_replaced(tmp_path):
    for folder in ("masks/cow", "out/cow"):
        (tmp_path / folder).mkdir(parents=True)
    write_ids(tmp_path / "masks/cow/00000.png", np.ones((4, 5), np.uint8))
    (tmp_path / "out/cow/00000.png").write_text("mine")
    with pytest.raises(InputError, match=r"00000\.png exists"):
        copy_first_masks(tmp_path / "masks", tmp_path / "out", ["cow"])
    assert (tmp_path / "out/cow/00000.png").read_text() == "mine"
