"""Runs of train_interactive.py, from pictures and videos to weights beside their trunk."""

import sys

import numpy as np
import pytest
import torch

import train_interactive
from datasets.train.sets import INTERACTIVE
from datasets.train.stages import ClipOptions, stage_data
from model.interactive import ClickDecoder, ClickNetwork
from model.layers.resnet import ResNetEncoder
from model.qdmn_small import SmallQDMN
from model.weights.checkpoint import Checkpoint, load_checkpoint, load_click_network, save_checkpoint
from tests.helpers.training_runs import losses_of, only, write_training_data
from training.click_arguments import parse_arguments
from training.click_trainer import LEAST_PIXELS, ClickTrainer, draw_objects
from util.errors import InputError

CPU = torch.device("cpu")
SMALL = ["--width", 40, "--depth", 1, "--image_size", 64, "-b", 2, "--rounds", 2, "--num_workers", 0]
SMALL += ["--device", "cpu", "--log_interval", 1, "--yv_root", "none", "--samples_per_video", 1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Arguments for data and a trunk."""
    root = tmp_path_factory.mktemp("data")
    sets = write_training_data(root)
    torch.manual_seed(0)
    network = SmallQDMN(backbone="resnet18", key_dim=8, value_dim=8, width=8)
    save_checkpoint(root / "trunk.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    return [*sets["static"], *sets["davis"], "--trunk", root / "trunk.pth"]


def run(monkeypatch, folder, data, *arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train_interactive.py", *map(str, [*SMALL, *data, *arguments])])
    train_interactive.main()


def trainer(**options):
    torch.manual_seed(0)
    trunk = ResNetEncoder("resnet18").eval().requires_grad_(False)
    network = ClickNetwork(trunk, ClickDecoder(channels=trunk.channels, width=40, depth=1, heads=2))
    return ClickTrainer(network, CPU, **{"lr": 1e-3, "iterations": 60, "rounds": 2, **options})


def batch(size=2, objects=1):
    frames, masks = torch.zeros(size, 1, 3, 64, 64), torch.zeros(size, 1, objects, 64, 64)
    for i in range(size):
        for k in range(objects):
            masks[i, 0, k, 20 : 44 - 4 * i, 8 + 24 * k : 28 + 24 * k] = 1
        frames[i, 0] = 2 * masks[i, 0].amax(0) - 1
    return {"frames": frames, "masks": masks}


def test_a_resumed_run_ends_in_the_same_bits_and_its_weights_load_beside_the_trunk(monkeypatch, tmp_path, data, capsys):
    run(monkeypatch, tmp_path, data, "-i", 3, "--checkpoint_interval", 2, "--id", "whole", "--ema", 0.5)
    output = capsys.readouterr().out
    assert "9 samples of 2 rounds, batch 2 (1 processes x 1 parts x 2), 4 iterations per epoch" in output
    assert list(losses_of(output)) == [1, 2, 3] and "iou_first" in output
    before = only(tmp_path, "saves/*_whole/*_previous.pth")
    assert load_checkpoint(before).iteration == 2
    run(monkeypatch, tmp_path, data, "-i", 3, "--id", "again", "--load_model", before, "--ema", 0.5)
    whole, again = (load_checkpoint(only(tmp_path, f"saves/*_{name}/*_checkpoint.pth")) for name in ("whole", "again"))
    for state in ("network", "average"):
        assert all(torch.equal(value, getattr(again, state)[name]) for name, value in getattr(whole, state).items())
    assert not any(name.startswith("trunk") for name in whole.network)

    trunk = train_interactive.load_trunk(data[-1])
    network = load_click_network(only(tmp_path, "saves/*_whole/*_3.pth"), trunk)
    assert network.trunk is trunk
    with pytest.raises(InputError, match="another image encoder"):
        load_click_network(only(tmp_path, "saves/*_whole/*_3.pth"), ResNetEncoder("resnet18"))


def test_another_run_another_trunk_and_unknown_pictures_are_refused(monkeypatch, tmp_path, data):
    arguments = ["-i", 1, "--id", "run", "--resume", "auto"]
    run(monkeypatch, tmp_path, data, *arguments)
    with pytest.raises(InputError, match="--rounds is 3 but"):
        run(monkeypatch, tmp_path, data, *arguments, "--rounds", 3)
    other = SmallQDMN(backbone="resnet18", key_dim=8, value_dim=8, width=8)
    save_checkpoint(tmp_path / "other.pth", Checkpoint(other.arch, other.options, other.state_dict()))
    with pytest.raises(InputError, match=r"the weights of the trunk are .* belongs to a run with"):
        run(monkeypatch, tmp_path, data, *arguments, "--trunk", tmp_path / "other.pth")
    (tmp_path / "list.txt").write_text("ecssd/a\necssd/nobody\n")
    with pytest.raises(InputError, match="is called ecssd/nobody"):
        run(monkeypatch, tmp_path, data, *arguments, "--held_out", "list.txt")
    (tmp_path / "list.txt").write_text("# a list\necssd/a\necssd/b\necssd/c\necssd/d\n")
    with pytest.raises(InputError, match=r"all pictures of .* are held out"):
        run(monkeypatch, tmp_path, data, *arguments, "--held_out", "list.txt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image_size", "70"], "multiple of 16"),
        (["--width", "50"], "multiple of 40"),
        (["--composites", "1"], "less than 1"),
        (["--resume", "auto"], "needs the --id"),
    ],
)
def test_wrong_arguments_are_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        parse_arguments(words)
    assert message in capsys.readouterr().err


def test_held_out_pictures_are_not_learned_from(tmp_path, data):
    roots = {"static_root": data[1], "davis_root": data[3], "yv_root": "none"}
    options = {"image_size": (32, 32), "clip_length": 1, "max_skip": 1}
    everything = stage_data(INTERACTIVE, roots, ClipOptions(**options))
    fewer = stage_data(INTERACTIVE, roots, ClipOptions(**options, left_out={"ecssd/b", "ecssd/d"}), composites=0.5)
    assert len(everything) == 9 and len(fewer) == 7
    assert [stills.name(i) for stills in fewer.stills for i in range(len(stills))] == ["ecssd/a", "ecssd/c"]
    cut_from = {source.name(i) for group in fewer.composites.groups for source, i in group}
    assert cut_from == {"ecssd/a", "ecssd/c", "ball"}


def test_one_object_of_each_sample_is_drawn_and_tiny_ones_never():
    torch.manual_seed(0)
    masks = torch.zeros(3, 3, 16, 16)
    masks[0, 1, :8, :8] = 1
    masks[0, 2, 8:, 8:] = 0.9
    masks[1, 0, 0, : LEAST_PIXELS // 8] = 1
    drawn = [draw_objects(masks) for _ in range(20)]
    assert not any(mask[1:].any() for mask in drawn)
    assert {tuple(np.argwhere(mask[0, 0].numpy())[0]) for mask in drawn} == {(0, 0), (8, 8)}


def test_learning_lowers_the_loss_and_leaves_the_trunk():
    learner = trainer(warmup=3, lr=4e-3, iterations=30)
    before = [p.clone() for p in learner.trunk.state_dict().values()]
    reports = []
    for i in range(30):
        torch.manual_seed(i % 2)
        reports.append(learner.step([batch()])[0])
    losses = [report["total_loss"].item() for report in reports]
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:3])
    assert np.mean([report["iou"].item() for report in reports[-4:]]) > 0.3
    assert all(torch.equal(old, new) for old, new in zip(before, learner.trunk.state_dict().values(), strict=True))


def test_a_batch_in_parts_averages_its_gradients():
    learner = trainer(rounds=1)  # what a user says later hangs on the last bit
    torch.manual_seed(7)
    loss = learner.step([batch(), batch()])[0]["total_loss"]
    gradients = [p.grad.clone() for p in learner.network.parameters()]
    losses, sums = [], [torch.zeros_like(gradient) for gradient in gradients]
    state = torch.manual_seed(7).get_state()
    for _ in range(2):
        other = trainer(rounds=1)
        torch.set_rng_state(state)
        losses.append(other.step([batch()])[0]["total_loss"])
        state = torch.get_rng_state()
        sums = [total + p.grad / 2 for total, p in zip(sums, other.network.parameters(), strict=True)]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    for ours, theirs in zip(gradients, sums, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_samples_without_an_object_teach_nothing():
    learner = trainer()
    empty = {"frames": torch.randn(2, 1, 3, 64, 64), "masks": torch.zeros(2, 1, 1, 64, 64)}
    losses, rounds, updated = learner.step([empty])
    assert losses["total_loss"] == 0 and updated and not rounds.truth.any()
    assert all(not p.grad.any() for p in learner.network.parameters())
