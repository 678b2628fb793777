"""The command that compares a GPU with the CPU, on the CPU."""

import sys

import numpy as np
import pytest
import torch

from scripts import gpu_check
from scripts.bench import device_checks
from scripts.bench.device_checks import Finding, LeftOut
from scripts.bench.speed import Observed, Row, Table
from tests.helpers.failures import failure_line
from util.errors import run

pytestmark = pytest.mark.slow


@pytest.fixture
def check(monkeypatch, capsys):
    """Runs the command on the CPU; returns its exit code and the lines of its table."""

    def run_with(*words):
        monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--device", "cpu", *map(str, words)])
        code = 0
        try:
            run(gpu_check.main)
        except SystemExit as ended:
            code = ended.code
        return code, capsys.readouterr().out.split("\n\n", 1)[1].splitlines()

    return run_with


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    line = failure_line(capsys, gpu_check.main)
    assert "device cuda is not available on this machine" in line


def test_a_device_that_does_as_the_cpu_passes(check, monkeypatch, tmp_path):
    monkeypatch.setattr(device_checks, "NETWORKS", ["qdmn_small"])
    monkeypatch.setattr(device_checks, "SIZE", (64, 96))
    monkeypatch.setattr(device_checks, "FRAMES", 4)
    names = ["cores", "waiting", "kernels", "rendering", "training", "on trial", "memory"]
    code, lines = check("--only", *names, "--output", tmp_path / "table.md")
    assert code == 0
    assert (tmp_path / "table.md").read_text().splitlines() == lines
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert list(dict.fromkeys(rows)) == names
    assert rows.count("cores") == 2 and rows.count("rendering") == 2
    assert [line for line in lines if "left out" in line and line.startswith("| waiting")]


def wrong(device):
    yield Finding("one", "as it should be")
    yield Finding("two", "half of it", "too much")


def broken(device):
    yield Finding("one", "as it should be")
    raise RuntimeError("no kernel image is available")


def senseless(device):
    raise LeftOut("needs two GPUs")
    yield


@pytest.mark.parametrize(
    ("found", "code", "row"),
    [
        (wrong, 1, "| cores | two | half of it **WRONG: too much** |"),
        (broken, 1, "| cores |  |  **WRONG: RuntimeError: no kernel image is available** |"),
        (senseless, 0, "| cores | | left out: needs two GPUs |"),
    ],
)
def test_what_is_wrong_is_told_and_what_is_left_out(check, monkeypatch, found, code, row):
    monkeypatch.setitem(gpu_check.CHECKS, "cores", found)
    ended, lines = check("--only", "cores")
    assert ended == code and row in lines


def test_nothing_begins_behind_the_time(check):
    code, lines = check("--only", "cores", "speed", "--minutes", "1e-9")
    assert code == 0
    assert sum("left out" in line for line in lines) == 3


def test_streams_that_differ_are_wrong():
    expected = [torch.rand(3, 8, 8).softmax(0)]
    assert device_checks.compare("a", expected, expected).fault == ""
    assert device_checks.compare("a", [expected[0].flip(0)], expected).fault
    assert device_checks.compare("a", [expected[0] * torch.nan], expected).fault


def test_speeds_are_frames_in_a_second(check, monkeypatch):
    ids = np.ones((1, 2, 2), np.uint8)

    def measured(args, objects, chosen):
        assert chosen[0].name == "all on"
        rows = {s.name: Row(9.0, 2.0 if s.name == "plain" else 1.0, 0.0, Observed(1.0, 100, ids)) for s in chosen}
        return Table(1.0, 1.0, {**rows, "all on": rows["all on"]._replace(seconds=0.25)})

    monkeypatch.setattr(gpu_check, "measure_table", measured)
    _, lines = check("--only", "speed", "--objects", 5)
    assert "| 5 | plain | 2.00 | 100 | 0.00% |" in lines
    assert "| 5 | all on | 4.00 | 100 | 0.00% |" in lines
