"""Runs with a core that needs no network."""

import pytest

from tests.helpers.davis_runs import use_fake_core
from tests.helpers.davis_trees import make_davis_2017


@pytest.fixture(autouse=True)
def built(monkeypatch):
    return use_fake_core(monkeypatch)


@pytest.fixture
def davis(tmp_path):
    return make_davis_2017(tmp_path / "DAVIS/2017")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results/val"
