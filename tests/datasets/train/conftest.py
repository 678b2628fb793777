"""Small sets of pictures and videos to learn from."""

import pytest
import torch

from tests.helpers.pictures import boxes, write_set, write_video


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def video_root(tmp_path):
    write_video(tmp_path, "two", [boxes(3, 7)] * 6)
    return tmp_path


@pytest.fixture
def static_root(tmp_path):
    write_set(tmp_path / "flat")
    return tmp_path
