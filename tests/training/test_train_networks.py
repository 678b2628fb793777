"""Every network is trained by the same script, stage after stage."""

import sys
from pathlib import Path

import pytest
import torch

import train
from model.weights.checkpoint import load_network
from tests.helpers.pictures import boxes, write_pair, write_video
from tests.helpers.training_runs import losses_of, only, write_training_data
from tests.helpers.weight_files import NARROW
from training.loop import TrainingLoop
from util.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SMALL = ["--backbone", "resnet18", "--no_pretrained_backbone", "--image_size", "32", "-b", "2", "--num_workers", "0"]
SMALL += ["--device", "cpu", "--log_interval", "1", "--lr", "1e-4", "-i", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_training_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """Encoders are narrow and runs save their weights alone: training checkpoints take three times the room."""
    monkeypatch.setattr(TrainingLoop, "_save_checkpoint", lambda loop: None)
    with NARROW:
        yield


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Trains in this process and returns the weights, unless the name is NULL."""

    def go(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py", *SMALL, "--id", name, *map(str, arguments)])
        train.main()
        return None if name == "NULL" else only(tmp_path, f"saves/*_{name}/*_{name}_1.pth")

    return go


@pytest.mark.parametrize("arch", ["mask_propagation", "stcn"])
def test_stages_follow_each_other_and_a_head_can_be_added_and_trained_alone(data, run, arch, capsys):
    stills = run("s0", "--arch", arch, "--stage", 0, *data["static"])
    assert "quality_loss" not in capsys.readouterr().out
    videos = ["--arch", arch, "--stage", 2, *data["davis"], "--yv_root", "none"]
    plain = run("s2", *videos, "--load_network", stills)
    head = run("head", *videos, "--load_network", plain, "--quality_head", "--train_only", "quality_head")
    assert "quality_loss" in capsys.readouterr().out
    before, after = load_network(plain, CPU).state_dict(), load_network(head, CPU).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    scorer = [name for name in after if name.startswith("quality_scorer.")]
    assert set(after) - set(before) == set(scorer) and scorer


@pytest.mark.parametrize("arch", ["mask_propagation", "stcn"])
def test_a_head_learns_jointly(data, run, arch, capsys):
    network = load_network(run("joint", "--arch", arch, "--quality_head", *data["static"]), CPU)
    assert network.quality_scorer is not None
    assert "quality_gap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "cycles"),
    [
        (["--arch", "stm_cycle"], True),
        (["--arch", "stm_cycle", "--objective", "forward", "--loss", "ce"], False),
        (["--arch", "qdmn_small", "--objective", "cycle"], True),
        (["--arch", "stcn", "--objective", "cycle", "--loss", "both", "--published_gate"], True),
    ],
)
def test_any_network_learns_the_way_back(data, run, arguments, cycles, capsys):
    run("NULL", *arguments, "--stage", 2, *data["davis"], "--yv_root", "none")
    assert ("cycle_loss" in capsys.readouterr().out) == cycles


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_stm_cycle_trains_with_its_published_choices(data, tmp_path, monkeypatch, capsys, backend):
    """All but the size of its frames, on a video of upright frames with three objects and on one that lies."""
    write_video(tmp_path / "data/train_480p", "upright", [boxes(1, 2, 3, shape=(96, 60))] * 4)
    monkeypatch.chdir(tmp_path)
    arguments = ["--arch", "stm_cycle", "--backbone", "resnet18", "--no_pretrained_backbone", "--stage", 2]
    arguments += ["--image_size", 48, 85, "--total_batch", 2, "--grad_accum", 2, "-i", 2, "--samples_per_video", 2]
    arguments += [*data["davis"], "--yv_root", tmp_path / "data", "--data_backend", backend, "--picture_interval", 1]
    arguments += ["--num_workers", 0, "--device", "cpu", "--log_interval", 1, "--id", "published"]
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    train.main()
    output = capsys.readouterr().out
    assert "stage 2: 12 samples" in output
    assert [loss > 0 for loss in losses_of(output).values()] == [True] * 2
    assert only(tmp_path, "saves/*_published/*_published_2.pth").is_file()


@pytest.mark.parametrize("size", [["100"], ["64", "85"]])
@pytest.mark.parametrize("arch", ["qdmn", "stcn"])
def test_other_networks_need_multiples_of_16(run, arch, size):
    with pytest.raises(InputError, match=f"--image_size .* cannot be used with {arch}; give multiples of 16"):
        run("odd", "--arch", arch, "--image_size", *size)


def test_stage_3_belongs_to_stcn(data, run):
    assert run("s3", "--arch", "stcn", "--stage", 3, *data["davis"], "--yv_root", "none").is_file()


def test_a_second_quality_head_is_refused(data, run):
    with pytest.raises(InputError, match="scorer of its own"):
        run("two", "--arch", "qdmn", "--quality_head", *data["static"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "qdmn", "--stage", "3"], "--stage 3 is none of qdmn"),
        (["--arch", "stcn", "--quality_head", "--train_only", "quality_head"], "needs a trained network"),
    ],
)
def test_what_does_not_go_together_is_refused(run, arguments, message, capsys):
    with pytest.raises(SystemExit):
        run("wrong", *arguments)
    assert message in capsys.readouterr().err


NETWORKS = [["qdmn"], ["qdmn_small"], ["mask_propagation"], ["stcn"], ["stm_cycle"]]
NETWORKS += [["dropseg", "--backbone", "vit_ti16", "--clip_length", "2"]]


@pytest.mark.parametrize("arguments", NETWORKS, ids=lambda words: words[0])
def test_stills_of_one_and_of_several_objects_train_together(data, run, tmp_path, arguments, capsys):
    folder = Path(data["static"][1]).parent / "mixed"
    for name, labels in {"ecssd/a": (255,), "parts/b": (1, 2, 3), "parts/c": (4, 9), "parts/d": (6,)}.items():
        write_pair(folder / f"{name}.jpg", folder / f"{name}.png", boxes(*labels))
    weights = run("mixed", "--arch", *arguments, "--static_root", folder, "--num_objects", 3, "-b", 4)
    output = capsys.readouterr().out
    assert "several objects: 1 of 2 sets and 2 of 4 pictures have masks of several ids, up to 3 objects a" in output
    assert losses_of(output)[1] > 0
    assert load_network(weights, CPU).options.get("multi_object", True)
