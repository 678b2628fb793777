"""Training runs from the command line, on one process and on several."""

from argparse import Namespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from model.weights.checkpoint import load_checkpoint, load_network, save_checkpoint
from tests.helpers.davis_trees import make_davis_2017
from tests.helpers.failures import failure_line
from tests.helpers.light_network import KNOWN
from tests.helpers.result_files import shown
from tests.helpers.training_runs import (
    LIGHT,
    SMALL,
    launch,
    losses_of,
    only,
    save_trunk,
    train_here,
    write_training_data,
)
from tests.helpers.warm_processes import complete, start_all
from tests.helpers.weight_files import NARROW
from util.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
PUBLISHED = [*SMALL, "--arch", "qdmn"]
NARROWED = "tests.helpers.weight_files:NARROW"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_training_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def light():
    """Runs in this process know the light network."""
    with KNOWN:
        yield


@pytest.fixture
def narrow():
    """Networks have the narrow encoders that the first run has."""
    with NARROW:
        yield


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, data):
    """Three iterations of stage 0, saved after the second and at the end."""
    folder = tmp_path_factory.mktemp("first")
    arguments = ["--id", "s0", "--stage", "0", "-i", "3", "--save_interval", "2", "--picture_interval", "2"]
    output = complete(start_all(1, train.main, folder, [*PUBLISHED, *data["static"], *arguments], [NARROWED]))
    return folder, output


@pytest.mark.usefixtures("narrow")
def test_a_run_writes_weights_and_a_training_checkpoint(first_run):
    folder, output = first_run
    run = only(folder, "saves/*_s0")
    assert sorted(path.name.removeprefix(run.name) for path in shown(run)) == [
        "_2.pth",
        "_3.pth",
        "_arguments.json",
        "_checkpoint.pth",
    ]
    assert [line.split(":")[0] for line in output.splitlines() if line.startswith("iteration ")] == [
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


@pytest.mark.usefixtures("narrow")
def test_several_processes_train_the_next_stage_from_the_last(first_run, data, tmp_path):
    weights = only(first_run[0], "saves/*/*_3.pth")
    arguments = ["--id", "s02", "--stage", "2", "--yv_root", "none", "--load_network", weights, "-i", "2", "-b", "1"]
    arguments += ["--val_root", f"{data['davis'][1]}/2017", "--val_interval", "2"]
    output = complete(start_all(2, train.main, tmp_path, [*PUBLISHED, *data["davis"], *arguments], [NARROWED]))
    assert output.count("iteration 2:") == 1
    run = only(tmp_path, "saves/*")
    network = load_network(run / f"{run.name}_2.pth", CPU)
    assert network.options["multi_object"]
    before = load_network(weights, CPU).memory_encoder.conv1.weight
    torch.testing.assert_close(network.memory_encoder.conv1.weight[:, :4], before, atol=1e-3, rtol=0)
    checkpoint = load_checkpoint(run / f"{run.name}_checkpoint.pth")
    assert checkpoint.iteration == 2 and checkpoint.best_score >= 0


def test_every_launcher_and_any_sharing_give_the_same_losses(data, tmp_path, monkeypatch, capsys):
    """The statistics are frozen: learned ones would depend on what a process sees at once.

    Adam lets the rounding of gradients near zero grow from one iteration to the next.
    """
    arguments = [*SMALL, *data["static"], *save_trunk(tmp_path / "trunk.pth"), "-i", 3, "--total_batch", 4]
    arguments.remove("--no_pretrained_backbone")
    curves = []
    for kind, processes, parts in (("here", 1, 1), ("here", 1, 4), ("torchrun", 2, 2), ("launch", 2, 1)):
        if kind == "here":
            train_here(monkeypatch, tmp_path, *arguments, "--grad_accum", parts)
            output = capsys.readouterr().out
        else:
            output = launch(kind, processes, tmp_path, [*arguments, "--grad_accum", parts])
        assert f"batch 4 ({processes} processes x {parts} parts x {4 // processes // parts})" in output
        curves.append(list(losses_of(output).values()))
    for curve in curves[1:]:
        assert curve == pytest.approx(curves[0], rel=4e-3)


def test_id_null_writes_nothing(data, tmp_path, monkeypatch):
    train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "--id", "NULL", "-i", "1")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_root_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    line = failure_line(capsys, lambda: train_here(monkeypatch, tmp_path, *SMALL, "--static_root", "nowhere"))
    assert "nowhere" in line
    assert list(tmp_path.iterdir()) == []


def test_validation_is_logged_and_keeps_the_best_weights(data, tmp_path, monkeypatch):
    root = data["davis"][1]
    arguments = ["--yv_root", "none", "--stage", 2, "--val_root", f"{root}/2017", "--val_interval", 1]
    train_here(monkeypatch, tmp_path, *LIGHT, *data["davis"], *arguments, "--id", "v", "-i", 2)
    events = EventAccumulator(str(only(tmp_path, "log/*_v"))).Reload()
    scores = [event.value for event in events.Scalars("train/validation_j_and_f")]
    assert len(scores) == 2 and all(0 <= score <= 1 for score in scores)
    checkpoint = load_checkpoint(only(tmp_path, "saves/*_v/*_checkpoint.pth"))
    assert checkpoint.best_score == pytest.approx(max(scores))
    best = load_network(only(tmp_path, "saves/*_v/*_best.pth"), CPU).state_dict()
    last = load_network(only(tmp_path, "saves/*_v/*_2.pth"), CPU).state_dict()
    assert all(torch.equal(best[key], last[key]) for key in best) == (scores[1] > scores[0])


def test_videos_that_cannot_validate_are_named_with_their_option(tmp_path):
    with pytest.raises(InputError, match="pass --val_root PATH"):
        train.validation_videos(Namespace(val_root=tmp_path / "nowhere"), set())
    root = make_davis_2017(tmp_path / "DAVIS", videos=["bike"])
    for mask in sorted((root / "trainval/Annotations/480p/bike").glob("*.png"))[1:]:
        mask.unlink()
    with pytest.raises(InputError, match="video bike of --val_root has no masks after its first frame"):
        train.validation_videos(Namespace(val_root=root), set())


def test_a_video_that_is_trained_on_does_not_validate(data, tmp_path, monkeypatch):
    root = data["davis"][1]
    lists = tmp_path / "data/2017/trainval/ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("cube\nball\n")
    for kind in ("JPEGImages", "Annotations"):
        (lists.parents[1] / kind).symlink_to(f"{root}/2017/trainval/{kind}")
    arguments = ["--yv_root", "none", "--stage", 2, "--val_root", tmp_path / "data/2017", "--id", "v", "-i", 1]
    with pytest.raises(InputError, match="video ball of --val_root is trained on too"):
        train_here(monkeypatch, tmp_path, *LIGHT, *data["davis"], *arguments)
    assert not (tmp_path / "saves").exists()


def test_a_resumed_run_does_not_take_worse_weights_for_the_best(data, tmp_path, monkeypatch):
    arguments = ["--yv_root", "none", "--stage", 2, "--val_root", f"{data['davis'][1]}/2017", "--val_interval", 1]
    arguments = [*LIGHT, *data["davis"], *arguments, "--id", "v", "-i", 2, "--checkpoint_interval", 1]
    train_here(monkeypatch, tmp_path, *arguments)
    only(tmp_path, "saves/*_v/*_checkpoint.pth").unlink()
    earlier = only(tmp_path, "saves/*_v/*_previous.pth")
    checkpoint = load_checkpoint(earlier)
    assert checkpoint.iteration == 1
    checkpoint.best_score = 2.0
    save_checkpoint(earlier, checkpoint, known=True)
    best = only(tmp_path, "saves/*_v/*_best.pth")
    before = best.read_bytes()
    train_here(monkeypatch, tmp_path, *arguments, "--resume", "auto")
    assert load_checkpoint(only(tmp_path, "saves/*_v/*_checkpoint.pth")).best_score == 2.0
    assert best.read_bytes() == before


def test_other_ways_to_train_learn_from_the_same_clips(data, tmp_path, monkeypatch, capsys):
    def losses(*options):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "-i", 2, *options)
        return list(losses_of(capsys.readouterr().out).values())

    plain = losses()
    assert losses("--data_backend", "gpu") == pytest.approx(plain, rel=0.1)
    assert losses("--amp", "bf16") == pytest.approx(plain, rel=0.1)
    assert losses("--clip_length", 4) == pytest.approx(plain, rel=1.5)


@pytest.mark.usefixtures("narrow")
def test_frozen_layers_keep_their_weights(data, tmp_path, monkeypatch):
    options = [word for word in SMALL if word != "--no_pretrained_backbone"]
    options += [*save_trunk(tmp_path / "trunk.pth"), "--freeze", "layer2", "--save_interval", 1]
    train_here(monkeypatch, tmp_path, *options, *data["static"], "--id", "f", "-i", 2)
    first, second = (torch.load(only(tmp_path, f"saves/*/*_{n}.pth"), weights_only=True)["network"] for n in (1, 2))
    kept = {name for name in first if torch.equal(first[name], second[name])}
    frozen = {name for name in first if name.startswith("query_encoder.") and ".layer3." not in name}
    assert frozen <= kept
    learned = {name for name in first if name.endswith("weight")} - frozen
    assert not learned & kept


def test_the_seed_decides_the_run(data, tmp_path, monkeypatch):
    networks = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_here(monkeypatch, tmp_path, *LIGHT, *data["static"], "--id", name, "-i", 1, "--seed", seed)
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
    options = [*SMALL, *data["davis"], "--yv_root", "none", "--stage", 2, "-i", 3]
    with pytest.raises(InputError, match="stage"):
        train_here(monkeypatch, tmp_path, *options, "--load_model", checkpoint)


def test_too_few_samples_for_a_batch_are_named(data, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"4 samples, too few .* of 5; lower -b"):
        train_here(monkeypatch, tmp_path, *SMALL, *data["static"], "-b", 5, "-i", 1)
