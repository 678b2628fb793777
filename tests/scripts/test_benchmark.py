"""The benchmark measures what it says."""

import argparse
import multiprocessing.dummy
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.frame_files import read_frame
from scripts import benchmark
from scripts.bench.inference import STAGES, inference_figures
from tests.helpers.warm_processes import use_warm_processes
from tests.helpers.weight_files import save_click_networks
from util.errors import run

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark.py"


@pytest.fixture
def arguments():
    return argparse.Namespace(
        arch="qdmn_small",
        backbone="resnet18",
        size=[32, 48],
        memory_frames=3,
        device="cpu",
        amp="off",
        warmup=1,
        repeats=2,
    )


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Runs the script in this process, where it starts faster; returns the lines that it prints."""

    use_warm_processes(monkeypatch)

    def run_with(*words):
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
        run(benchmark.main)
        return capsys.readouterr().out.splitlines()

    return run_with


@pytest.mark.parametrize("objects", [1, 3])
def test_the_parts_of_a_frame_do_not_exceed_the_whole(arguments, objects):
    figures = inference_figures(arguments, objects)
    assert set(figures.stages) == set(STAGES)
    assert all(seconds > 0 for seconds in figures.stages.values())
    assert sum(figures.stages.values()) < 1.5 * figures.frame
    assert figures.peak_mb > 0


def test_checkpoints_are_compared_in_turns(run_here, tmp_path):
    paths = [str(save_click_networks(tmp_path) / "trunk.pth"), str(tmp_path / "none.pth")]
    options = ["inference", "--objects", "1", "2", "--size", "32", "48", "--memory_frames", "2", "--device", "cpu"]
    lines = run_here(*options, "--warmup", "1", "--repeats", "2", "--models", paths[0], paths[0])
    rows = [line.split() for line in lines if line.endswith(".pth")]
    assert [row[0] for row in rows] == ["1", "1", "2", "2"] and all(float(row[1]) > 0 < float(row[3]) for row in rows)
    assert rows[0][2] == rows[2][2] == "1.00"
    with pytest.raises(SystemExit) as ended:
        run_here(*options, "--models", *paths)
    assert ended.value.code == 2


def test_a_stream_has_a_row_for_each_length(run_here, tmp_path):
    plot = tmp_path / "p.png"
    options = ["--frames", "3", "12", "--objects", "1", "--late", "1", "--size", "64", "96", "--device", "cpu"]
    rows = [line.split() for line in run_here("stream", *options, "--plot", str(plot)) if line.strip()[0].isdigit()]
    assert [row[0] for row in rows] == ["3", "12"]
    assert [len(row) for row in rows] == [2 + 3, 2 + 10]
    assert all(float(cell) > 0 for row in rows for cell in row)
    assert read_frame(plot).std() > 0


@pytest.mark.parametrize(
    ("command", "rows"),
    [
        (["train", "--arch", "qdmn_small", "--backbone", "resnet18", "--image_size", "64", "--batch_size", "2"], 5),
        (["data", "--image_size", "64", "--height", "72"], 2),
    ],
)
def test_every_part_has_a_row(run_here, command, rows):
    lines = run_here(*command, "--repeats", "2", "--warmup", "1")
    assert len([line for line in lines if " s  " in line or "samples/s, plain" in line]) == rows


def test_training_rows_learn_the_same(run_here, monkeypatch):
    """In threads: what is imported in every process takes longer than a small network's iterations."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: multiprocessing.dummy)
    size = ["--arch", "qdmn", "--backbone", "resnet18", "--image_size", "32", "--batch_size", "1"]
    lines = run_here("train", *size, "--rows", "--repeats", "1", "--warmup", "1")
    losses = {line[:28].strip(): float(line.split()[-1]) for line in lines[4:]}
    assert list(losses)[:2] == ["all on", "plain"]
    exact = [loss for name, loss in losses.items() if name != "bf16"]
    assert len(exact) == 6
    assert max(exact) - min(exact) < 2e-3


def test_scores_are_those_of_full_frames(tmp_path):
    command = [sys.executable, str(SCRIPT), "score", "--size", "72", "96", "--frames", "2"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 3
    assert float(" ".join(lines).split("differ by ")[1].split()[0]) < 1e-9


SPEED = ["speed", "--backbone", "resnet18", "--size", "32", "48", "--memory_frames", "2", "--device", "cpu"]


def test_speed_compares_settings(run_here):
    command = [*SPEED, "--arch", "qdmn_small", "--objects", "2", "--repeats", "2", "--compared_frames", "3"]
    lines = run_here(*command, "--only", "plain", "bf16 and", "two sizes")
    rows = {line[:28].strip(): line[28:].split() for line in lines if line.endswith("%")}
    assert list(rows) == ["all on", "plain", "two sizes", "bf16 and window"]
    assert float(rows["all on"][2]) == 1 and all(float(cell) > 0 for row in rows.values() for cell in row[:-1])
    pixels = {name: float(row[-1][:-1]) for name, row in rows.items()}
    assert 0 < pixels.pop("two sizes") < 20
    assert list(pixels.values()) == pytest.approx([0, 0, 0], abs=1)


@pytest.mark.parametrize(
    ("options", "named"), [(["--only", "nothing"], "nothing"), (["--only", "plain", "--model", "none.pth"], "none.pth")]
)
def test_speed_says_what_is_wrong(run_here, capsys, options, named):
    with pytest.raises(SystemExit, match="2"):
        run_here(*SPEED, *options)
    errors = capsys.readouterr().err
    assert named in errors and len(errors.splitlines()) == 1
