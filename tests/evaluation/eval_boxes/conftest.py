"""Runs on made trees with a core that needs no network."""

import pytest

from tests.helpers.box_runs import make_trees, use_bright_core


@pytest.fixture
def trees(tmp_path):
    """Trees to be changed."""
    return make_trees(tmp_path / "data")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out/run"


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    return use_bright_core(monkeypatch)
