"""The copied first mask."""

import numpy as np
import pytest

from util.baseline import copy_first_masks
from util.errors import InputError
from util.images import read_ids, write_ids


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
