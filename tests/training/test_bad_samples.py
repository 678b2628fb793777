"""Bad samples are named, written down and counted."""

import pytest

from training.run_folder import BadSamples, RunFolder
from util.errors import InputError


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_an_unreadable_sample_counts_once(folder, caplog):
    bad_samples = BadSamples(folder, 0, max_unreadable=1, max_not_finite=1)
    for iteration in range(5):
        bad_samples.unreadable(iteration, ["a.jpg is broken", "a.jpg is broken"])
    assert caplog.text.count("a.jpg") == 1
    with pytest.raises(InputError, match=r"more than 1 samples .*run_unreadable_0.txt"):
        bad_samples.unreadable(6, ["b.jpg is broken"])
    assert (folder.path / "run_unreadable_0.txt").read_text() == "0\ta.jpg is broken\n6\tb.jpg is broken\n"


def test_only_failures_in_a_row_end_the_run(folder):
    bad_samples = BadSamples(folder, 3, max_unreadable=1, max_not_finite=2)
    for iteration in range(4):
        bad_samples.not_finite(iteration, ["cow"])
        bad_samples.updated()
    bad_samples.not_finite(4, ["cow"])
    with pytest.raises(InputError, match=r"2 iterations in a row .*run_not_finite_3.txt"):
        bad_samples.not_finite(5, ["dog", "cat"])
    assert (folder.path / "run_not_finite_3.txt").read_text().endswith("5\tdog\n5\tcat\n")


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    BadSamples(None, 0, max_unreadable=5, max_not_finite=5).not_finite(1, ["cow"])
    assert list(tmp_path.iterdir()) == []
