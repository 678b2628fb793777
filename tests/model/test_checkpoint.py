"""Checkpoint files: what goes in comes out."""

import pickle
from pathlib import Path

import pytest
import torch

from model.qdmn import QDMN
from model.weights.checkpoint import load_checkpoint, load_network, load_weights, save_checkpoint, save_published
from tests.helpers.result_files import shown
from tests.helpers.weight_files import (
    NARROW,
    assert_same,
    checkpoint_of,
    published_constants,
    read_published_entries,
    saved,
    small_network,
)
from training.trainer import Trainer
from util.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def narrow():
    """Encoders take little time and room."""
    with NARROW:
        yield


@pytest.fixture(scope="module")
def published_entries():
    return read_published_entries()


def training_batch(objects):
    masks = torch.zeros(2, 3, objects, 32, 32)
    masks[:, :, 0, :16] = 1
    labels = masks[:, :, 0].long()
    return {"frames": torch.randn(2, 3, 3, 32, 32), "masks": masks, "labels": labels, "selector": torch.ones(2, 1)}


# Our format


@pytest.mark.usefixtures("narrow")
def test_everything_in_a_checkpoint_comes_back(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    checkpoint = checkpoint_of(
        small_network(),
        optimizer={"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5, "betas": (0.9, 0.999)}]},
        scheduler={"milestones": {10: 1}, "last_epoch": 3},
        scaler=scaler.state_dict(),
        iteration=3,
        arguments={"lr": 1e-5, "steps": [10], "id": "run", "load_network": None, "debug": False},
    )
    save_checkpoint(tmp_path / "c.pth", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.pth")
    for name in vars(checkpoint):
        ours, expected = getattr(loaded, name), getattr(checkpoint, name)
        assert_same(dict(ours) if name == "network" else ours, dict(expected) if name == "network" else expected)


@pytest.mark.usefixtures("narrow")
def test_training_goes_on_from_a_file_as_if_it_had_never_stopped(tmp_path):
    first, *others = ([training_batch(1)] for _ in range(3))
    trainer = Trainer(small_network(multi_object=False), CPU, lr=1e-3, steps=(1, 3))
    trainer.step(first)
    save_checkpoint(tmp_path / "c.pth", trainer.checkpoint({"id": "run"}))
    expected = [trainer.step(batch)[0]["total_loss"] for batch in others]

    checkpoint = load_checkpoint(tmp_path / "c.pth")
    resumed = Trainer(load_network(tmp_path / "c.pth", CPU), CPU, lr=1e-3, steps=(1, 3))
    resumed.restore(checkpoint)
    assert resumed.iteration == 1
    assert [resumed.step(batch)[0]["total_loss"] for batch in others] == expected
    assert_same(dict(resumed.network.state_dict()), dict(trainer.network.state_dict()))
    assert_same(resumed.scheduler.state_dict(), trainer.scheduler.state_dict())
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("options", [{}, {"multi_object": False, "score_activation": "relu", "key_dim": 32}])
def test_a_network_is_built_from_its_file_alone(tmp_path, options):
    network = small_network(**options)
    save_checkpoint(tmp_path / "n.pth", checkpoint_of(network))
    loaded = load_network(tmp_path / "n.pth", CPU)
    assert not loaded.training
    assert loaded.options == network.options
    assert_same(dict(loaded.state_dict()), dict(network.state_dict()))


@pytest.mark.usefixtures("narrow")
def test_weights_alone_do_not_resume_training(tmp_path):
    save_checkpoint(tmp_path / "weights.pth", checkpoint_of(small_network(), iteration=5))
    with pytest.raises(InputError, match=r"weights\.pth .*--load_network"):
        load_checkpoint(tmp_path / "weights.pth")


@pytest.mark.usefixtures("narrow")
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    network = small_network()
    save_checkpoint(tmp_path / "c.pth", checkpoint_of(network, iteration=1))
    before = (tmp_path / "c.pth").read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(tmp_path / "c.pth", checkpoint_of(network, arguments={"unpicklable": lambda: None}))
    assert (tmp_path / "c.pth").read_bytes() == before
    assert [path.name for path in shown(tmp_path)] == ["c.pth"]


@pytest.mark.usefixtures("narrow")
def test_a_failed_first_save_leaves_nothing(tmp_path, monkeypatch):
    def save_half(content, path):
        Path(path).write_bytes(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", save_half)
    for save in (
        lambda path: save_checkpoint(path, checkpoint_of(small_network())),
        lambda path: save_published(path, small_network()),
    ):
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "c.pth")
        assert not shown(tmp_path)


# Single-object to two-object


def test_single_object_weights_fit_the_two_object_form(tmp_path):
    single = small_network(multi_object=False)
    save_checkpoint(tmp_path / "s0.pth", checkpoint_of(single))
    double = small_network(multi_object=True)
    load_weights(double, tmp_path / "s0.pth")
    old, new = single.state_dict(), double.state_dict()
    stem = "memory_encoder.conv1.weight"
    assert torch.equal(new[stem][:, :4], old[stem])
    assert all(torch.equal(new[name], old[name]) for name in old if name != stem)
    added = new[stem][:, 4].flatten(1)
    torch.testing.assert_close(added.T @ added, torch.eye(49), atol=1e-5, rtol=0)


def test_published_single_object_weights_fit_the_two_object_form(tmp_path, published_entries):
    published = published_constants(published_entries, input_channels=4)
    double = QDMN(score_activation="relu")
    load_weights(double, saved(tmp_path / "s0.pth", published))
    stem = double.memory_encoder.conv1.weight
    assert torch.equal(stem[:, :4], published["mask_rgb_encoder.conv1.weight"])


@pytest.mark.usefixtures("narrow")
def test_two_object_weights_do_not_fit_the_single_object_form(tmp_path):
    save_checkpoint(tmp_path / "s2.pth", checkpoint_of(small_network()))
    with pytest.raises(InputError, match=r"multi_object=True.*expected.*multi_object=False.*memory_encoder\.conv1"):
        load_weights(small_network(multi_object=False), tmp_path / "s2.pth")
