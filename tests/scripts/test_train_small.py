"""The recipe of the shipped network."""

import itertools
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from training.arguments import parse_arguments

RECIPE = Path(__file__).parents[2] / "scripts/train_small.sh"
# Takes the place of python: notes its arguments, and saves something under the name of a run.
STAND_IN = """#!/usr/bin/env bash
printf '%q ' "$@" >> calls; echo >> calls
run="saves/Jan01_00.00.00_$3"
if [ "$1" = train.py ]; then mkdir -p "$run" && touch "$run/Jan01_00.00.00_$3_9.pth"; fi
"""


def run(folder, *arguments):
    return subprocess.run(
        ["bash", folder / "scripts/train_small.sh", *arguments],
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder with the recipe and a stand-in for python."""
    for name in ("scripts", "bin", "saves", "data"):
        (tmp_path / name).mkdir()
    shutil.copy(RECIPE, tmp_path / "scripts")
    (tmp_path / "bin/python").write_text(STAND_IN)
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / "trunk.pth").touch()
    return tmp_path


def test_every_run_begins_with_the_weights_of_the_one_before(folder):
    done = run(folder, folder / "data", folder / "trunk.pth", folder / "out/small.pth")
    assert done.returncode == 0, done.stderr
    calls = [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]
    runs = [parse_arguments(call[1:]) for call in calls if call[0] == "train.py"]
    assert [args.id for args in runs] == [f"small{number}" for number in range(1, 8)]
    assert runs[0].backbone_weights == [folder / "trunk.pth"]
    for before, args in itertools.pairwise(runs):
        assert args.load_network == Path(f"saves/Jan01_00.00.00_{before.id}/Jan01_00.00.00_{before.id}_9.pth")
    assert all(args.resume == "auto" and args.amp == "bf16" for args in runs)
    assert calls[-1][0] == "scripts/convert_checkpoint.py"
    assert calls[-1][calls[-1].index("--output") + 1] == str(folder / "out/small.pth")


def test_missing_data_are_one_line_and_exit_code_2(folder):
    done = run(folder, folder / "nowhere", folder / "trunk.pth", folder / "small.pth")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "give the folder of the data" in done.stderr
    assert not (folder / "calls").exists()
