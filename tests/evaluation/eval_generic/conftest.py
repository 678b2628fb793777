"""Runs on a clip of frames with a core that needs no network."""

import pytest

from datasets.mask_files import write_ids
from tests.helpers.davis_trees import write_frames
from tests.helpers.generic_runs import MASK, NAMES, use_seen_core


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    use_seen_core(monkeypatch)


@pytest.fixture
def frames(tmp_path):
    """Six frames named shot8 to shot13, each brighter than the one before."""
    write_frames(tmp_path / "clip", NAMES)
    return tmp_path / "clip"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out/run"


@pytest.fixture
def mask(tmp_path):
    write_ids(tmp_path / "mask.png", MASK)
    return tmp_path / "mask.png"
