"""Training runs from the command line, on one process and on several."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from model.checkpoint import load_checkpoint, load_network
from tests.pictures import boxes, write_pair
from util.errors import InputError

SCRIPT = Path(__file__).parents[1] / "train.py"
CPU = torch.device("cpu")
SMALL = ["--backbone", "resnet18", "--no_pretrained_backbone", "--image_size", "64", "-b", "2"]
SMALL += ["--num_workers", "0", "--device", "cpu", "--log_interval", "1", "--lr", "1e-4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four static pictures, and a DAVIS tree with one video, which counts five times."""
    root = tmp_path_factory.mktemp("data")
    for name in "abcd":
        write_pair(root / f"static/ecssd/{name}.jpg", root / f"static/ecssd/{name}.png", boxes(255))
    trainval = root / "DAVIS/2017/trainval"
    for i in range(4):
        name = f"480p/ball/{i:05d}"
        write_pair(trainval / f"JPEGImages/{name}.jpg", trainval / f"Annotations/{name}.png", boxes(1, 2))
    (trainval / "ImageSets/2017").mkdir(parents=True)
    (trainval / "ImageSets/2017/train.txt").write_text("ball\n")
    return {"static": ["--static_root", f"{root}/static"], "davis": ["--davis_root", f"{root}/DAVIS"]}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def start(folder, arguments, launcher=()):
    """Run train.py in a folder, with one thread for each process."""
    command = [sys.executable, *launcher, str(SCRIPT), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def train_here(monkeypatch, folder, *arguments):
    """The same in this process, where it starts faster."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    train.main()


def only(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, data):
    """Three iterations of stage 0, saved after the second and at the end."""
    folder = tmp_path_factory.mktemp("first")
    arguments = ["--id", "s0", "--stage", "0", "-i", "3", "--save_interval", "2", "--picture_interval", "2"]
    result = start(folder, [*SMALL, *data["static"], *arguments])
    assert result.returncode == 0, result.stderr
    return folder, result


def test_a_run_writes_weights_and_a_training_checkpoint(first_run):
    folder, result = first_run
    run = only(folder, "saves/*_s0")
    assert sorted(path.name.removeprefix(run.name) for path in run.iterdir()) == [
        "_2.pth",
        "_3.pth",
        "_arguments.json",
        "_checkpoint.pth",
    ]
    assert [line.split(":")[0] for line in result.stdout.splitlines() if line.startswith("iteration")] == [
        "iteration 1",
        "iteration 2",
        "iteration 3",
    ]
    checkpoint = load_checkpoint(run / f"{run.name}_checkpoint.pth")
    assert (checkpoint.iteration, checkpoint.arguments["id"]) == (3, "s0")
    for number in (2, 3):
        network = load_network(run / f"{run.name}_{number}.pth", CPU)
        assert network.options["backbone"] == "resnet18"
        assert not network.options["multi_object"]


def test_a_run_writes_a_log_for_tensorboard(first_run):
    folder, _ = first_run
    assert only(folder, "log/*_s0/events*").stat().st_size > 0


def test_a_run_changes_the_weights(first_run):
    folder, _ = first_run
    second, third = (torch.load(only(folder, f"saves/*/*_{n}.pth"), weights_only=True)["network"] for n in (2, 3))
    trained = [name for name in second if name.endswith("weight")]
    assert all(not torch.equal(second[name], third[name]) for name in trained)


def test_several_processes_train_the_next_stage_from_the_last(first_run, data, tmp_path):
    weights = only(first_run[0], "saves/*/*_3.pth")
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    arguments = ["--id", "s02", "--stage", "2", "--yv_root", "none", "--load_network", str(weights), "-i", "2"]
    result = start(tmp_path, [*SMALL, "-b", "1", *data["davis"], *arguments], launcher)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("iteration 2:") == 1
    run = only(tmp_path, "saves/*")
    network = load_network(run / f"{run.name}_2.pth", CPU)
    assert network.options["multi_object"]
    before = load_network(weights, CPU).memory_encoder.conv1.weight
    torch.testing.assert_close(network.memory_encoder.conv1.weight[:, :4], before, atol=1e-3, rtol=0)
    assert load_checkpoint(run / f"{run.name}_checkpoint.pth").iteration == 2


def test_the_published_launcher_works_and_id_null_writes_nothing(data, tmp_path):
    launcher = ["-m", "torch.distributed.launch", "--nproc_per_node=2", f"--master_port={free_port()}"]
    result = start(tmp_path, [*SMALL, *data["static"], "--id", "NULL", "-i", "2"], launcher)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("iteration 2:") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_root_is_one_line_and_exit_code_2(tmp_path):
    result = start(tmp_path, [*SMALL, "--static_root", "nowhere"])
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "nowhere" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_resuming_goes_on_at_the_next_iteration(first_run, data, tmp_path, monkeypatch, capsys):
    checkpoint = only(first_run[0], "saves/*/*_checkpoint.pth")
    train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "--id", "again", "--load_model", checkpoint, "-i", 5)
    lines = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("iteration")]
    assert lines == ["iteration 4", "iteration 5"]
    resumed = load_checkpoint(only(tmp_path, "saves/*/*_checkpoint.pth"))
    assert resumed.iteration == resumed.scheduler["last_epoch"] == 5
    assert {int(state["step"]) for state in resumed.optimizer["state"].values()} == {5}
    assert only(tmp_path, "saves/*/*_5.pth")


def test_resume_between_epochs_equals_uninterrupted(data, tmp_path, monkeypatch):
    """Two batches make an epoch."""
    options = [*SMALL, *data["static"], "--save_interval", 100]
    train_here(monkeypatch, tmp_path, *options, "--id", "whole", "-i", 4)
    train_here(monkeypatch, tmp_path, *options, "--id", "begun", "-i", 2)
    begun = only(tmp_path, "saves/*_begun/*_checkpoint.pth")
    train_here(monkeypatch, tmp_path, *options, "--id", "ended", "-i", 4, "--load_model", begun)
    whole, ended = (load_checkpoint(only(tmp_path, f"saves/*_{name}/*_checkpoint.pth")) for name in ("whole", "ended"))
    different = [name for name in whole.network if not torch.equal(whole.network[name], ended.network[name])]
    assert different == []


def test_the_seed_decides_the_run(data, tmp_path, monkeypatch):
    networks = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "--id", name, "-i", 1, "--seed", seed)
        networks.append(load_checkpoint(only(tmp_path, f"saves/*_{name}/*_checkpoint.pth")).network)
    same, other = ([torch.equal(networks[0][key], network[key]) for key in network] for network in networks[1:])
    assert all(same)
    assert not all(other)


def test_weights_alone_do_not_resume(first_run, data, tmp_path, monkeypatch):
    weights = only(first_run[0], "saves/*/*_3.pth")
    with pytest.raises(InputError, match="--load_network"):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "--load_model", weights, "-i", 4)


def test_a_checkpoint_of_another_stage_does_not_resume(first_run, data, tmp_path, monkeypatch):
    """A single-object network would train on two objects without a word."""
    checkpoint = only(first_run[0], "saves/*/*_checkpoint.pth")
    options = [*SMALL, *data["davis"], "--yv_root", "none", "--stage", 2, "-i", 4]
    with pytest.raises(InputError, match="stage"):
        train_here(monkeypatch, tmp_path, *options, "--load_model", checkpoint)


def test_too_few_samples_for_a_batch_are_named(data, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"4 samples, too few .* of 5; lower -b"):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "-b", 5, "-i", 1)


def test_statistics_are_not_learned_from_a_batch_of_one_object(data, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "-b", 1, "-i", 1)
    assert "-b of at least 2" in capsys.readouterr().err
