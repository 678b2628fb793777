"""Checkpoint files: what goes in comes out, and what does not fit is named in one line."""

import json
import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_network,
    load_weights,
    read_weights,
    save_checkpoint,
    save_published,
)
from model.published import from_published, to_published
from model.qdmn import QDMN
from model.trainer import Trainer
from tests.deterministic import FIXTURES
from util.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published_entries():
    """(name, shape, type) of every entry of the published weights."""
    return [
        (name, tuple(shape), dtype) for name, shape, dtype in json.loads((FIXTURES / "keys_qdmn_eval.json").read_text())
    ]


def small_network(**options):
    torch.manual_seed(0)
    return QDMN(backbone="resnet18", **options).eval()


def published_constants(entries, input_channels=5):
    """The published state dict with another number in each entry; each tensor takes a single number on disk."""
    state = {}
    for number, (name, shape, dtype) in enumerate(entries, 1):
        if name == "mask_rgb_encoder.conv1.weight":
            shape = (shape[0], input_channels, *shape[2:])
        state[name] = torch.tensor(number, dtype=getattr(torch, dtype)).expand(shape)
    return state


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def checkpoint_of(network, **entries):
    return Checkpoint(network.arch, network.options, network.state_dict(), **entries)


def assert_same(ours, expected):
    """Equality of nested containers with tensors in them."""
    assert type(ours) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert ours.dtype == expected.dtype
        assert torch.equal(ours, expected)
    elif isinstance(expected, dict):
        assert list(ours) == list(expected)
        for key in expected:
            assert_same(ours[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            assert_same(one, other)
    else:
        assert ours == expected


def training_batch(objects):
    masks = torch.zeros(2, 3, objects, 32, 32)
    masks[:, :, 0, :16] = 1
    labels = masks[:, :, 0].long()
    return {"frames": torch.randn(2, 3, 3, 32, 32), "masks": masks, "labels": labels, "selector": torch.ones(2, 1)}


# Our format


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


@pytest.mark.parametrize("options", [{}, {"multi_object": False, "score_activation": "relu", "key_dim": 32}])
def test_a_network_is_built_from_its_file_alone(tmp_path, options):
    network = small_network(**options)
    save_checkpoint(tmp_path / "n.pth", checkpoint_of(network))
    loaded = load_network(tmp_path / "n.pth", CPU)
    assert not loaded.training
    assert loaded.options == network.options
    assert_same(dict(loaded.state_dict()), dict(network.state_dict()))


def test_weights_alone_do_not_resume_training(tmp_path):
    save_checkpoint(tmp_path / "weights.pth", checkpoint_of(small_network(), iteration=5))
    with pytest.raises(InputError, match=r"weights\.pth .*--load_network"):
        load_checkpoint(tmp_path / "weights.pth")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    network = small_network()
    save_checkpoint(tmp_path / "c.pth", checkpoint_of(network, iteration=1))
    before = (tmp_path / "c.pth").read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(tmp_path / "c.pth", checkpoint_of(network, arguments={"unpicklable": lambda: None}))
    assert (tmp_path / "c.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.pth"]


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
        assert not any(tmp_path.iterdir())


# Published weights


@pytest.mark.parametrize("multi_object", [True, False])
def test_names_and_shapes_equal_the_published_ones(published_entries, multi_object):
    with torch.device("meta"):
        network = QDMN(multi_object=multi_object)
    ours = {k: (tuple(v.shape), str(v.dtype)) for k, v in to_published(network.state_dict()).items()}
    expected = {name: (shape, f"torch.{dtype}") for name, shape, dtype in published_entries}
    if not multi_object:
        expected["mask_rgb_encoder.conv1.weight"] = ((64, 4, 7, 7), "torch.float32")
    assert len(ours) == 690
    assert ours == expected


def test_translation_of_names_is_lossless(published_entries):
    published = published_constants(published_entries)
    ours = from_published(published)
    assert len(ours) == len(published)
    assert_same(to_published(ours), published)


@pytest.mark.parametrize(("input_channels", "multi_object"), [(5, True), (4, False)])
def test_published_weights_come_back_bit_for_bit(tmp_path, published_entries, input_channels, multi_object):
    published = published_constants(published_entries, input_channels)
    network = load_network(saved(tmp_path / "QDMN.pth", published), CPU)
    assert network.options["multi_object"] == multi_object
    assert network.options["score_activation"] == "relu"
    back = to_published(network.state_dict())
    assert set(back) == set(published)
    assert all(torch.equal(back[name], published[name]) for name in published)


def test_a_published_file_of_ours_holds_bare_weights_under_published_names(tmp_path):
    network = small_network(score_activation="relu")
    save_published(tmp_path / "p.pth", network)
    state = torch.load(tmp_path / "p.pth", weights_only=True)
    assert_same(dict(state), to_published(network.state_dict()))
    assert_same(from_published(state), dict(network.state_dict()))


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_a_published_training_checkpoint_are_found(tmp_path, published_entries, zipped):
    published = published_constants(published_entries)
    content = {"it": 7, "network": published, "optimizer": {"state": {}}, "scheduler": {"last_epoch": 7}}
    path = saved(tmp_path / "training.pth", content, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert weights.arch == "qdmn"
    assert_same(to_published(weights.network), published)


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


def test_two_object_weights_do_not_fit_the_single_object_form(tmp_path):
    save_checkpoint(tmp_path / "s2.pth", checkpoint_of(small_network()))
    with pytest.raises(InputError, match=r"multi_object=True.*expected.*multi_object=False.*memory_encoder\.conv1"):
        load_weights(small_network(multi_object=False), tmp_path / "s2.pth")


# Files that do not fit


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def write_truncated(path):
    saved(path, {"w": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])


def zeros(*names):
    return {name: torch.zeros(64, 5, 7, 7) for name in names}


STCN = zeros("key_encoder.conv1.weight", "value_encoder.conv1.weight", "key_proj.key_proj.weight")
MASK_PROPAGATION = zeros("mask_rgb_encoder.conv1.weight", "kv_m_f16.key_proj.weight", "decoder.pred.weight")
TORCHVISION = zeros("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight", "fc.weight")
OURS = {"format": "vos-checkpoint", "version": 1, **vars(Checkpoint("qdmn", {}, {}))}

WRONG_FILES = {
    "stcn": (lambda p: saved(p, STCN), "a state dict of STCN; expected QDMN"),
    "mask propagation": (lambda p: saved(p, MASK_PROPAGATION), "a state dict of Mask-Propagation; expected QDMN"),
    "torchvision": (lambda p: saved(p, TORCHVISION), "ImageNet ResNet; expected QDMN"),
    "unknown": (lambda p: saved(p, zeros("some.weight")), "unknown network; expected QDMN"),
    "foreign training": (lambda p: saved(p, {"it": 1, "network": STCN}), "training checkpoint of STCN; expected QDMN"),
    "truncated": (write_truncated, "truncated or damaged"),
    "empty": (lambda p: p.write_bytes(b""), "not a checkpoint"),
    "text": (lambda p: p.write_text("weights\n"), "not a checkpoint"),
    "a line": (lambda p: p.write_text("PK\n"), "wrong.pth"),
    "folder": (lambda p: p.mkdir(), "wrong.pth"),
    "missing": (lambda p: None, "does not exist"),
    "code": (lambda p: saved(p, {"network": Malicious(p.parent / "ran")}), "could run code; expected tensors"),
    "old code": (
        lambda p: saved(p, {"network": Malicious(p.parent / "ran")}, _use_new_zipfile_serialization=False),
        "could run code; expected tensors",
    ),
    "pickled code": (lambda p: p.write_bytes(pickle.dumps(Malicious(p.parent / "ran"), 2)), "wrong.pth"),
    "pickled code now": (lambda p: p.write_bytes(pickle.dumps(Malicious(p.parent / "ran"))), "wrong.pth"),
    "list": (lambda p: saved(p, [torch.zeros(3)]), "holds a list; expected"),
    "tensor": (lambda p: saved(p, torch.zeros(3)), "holds a Tensor; expected"),
    "pickled list": (lambda p: p.write_bytes(pickle.dumps([1, 2], 2)), "wrong.pth"),
    "pickled list now": (lambda p: p.write_bytes(pickle.dumps([1, 2])), "not a checkpoint"),
    "newer": (lambda p: saved(p, {**OURS, "version": 2}), "format version 2, this code reads 1"),
    "entry missing": (lambda p: saved(p, {"format": "vos-checkpoint", "version": 1}), "wrong.pth"),
    "unknown architecture": (lambda p: saved(p, {**OURS, "arch": "later"}), "later"),
    "unknown backbone": (lambda p: saved(p, {**OURS, "options": {"backbone": "resnet34"}}), "resnet34"),
    "unknown option": (lambda p: saved(p, {**OURS, "options": {"heads": 3}}), "heads"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_file_is_named_in_one_line(tmp_path, kind):
    write, message = WRONG_FILES[kind]
    path = tmp_path / "wrong.pth"
    write(path)
    with pytest.raises(InputError, match=message) as error:
        load_network(path, CPU)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_the_malicious_file_would_run_if_it_were_trusted(tmp_path):
    path = saved(tmp_path / "wrong.pth", {"network": Malicious(tmp_path / "ran")})
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


def test_weights_of_another_backbone_are_named(tmp_path, published_entries):
    path = saved(tmp_path / "r50.pth", published_constants(published_entries))
    with pytest.raises(InputError, match=r"holds qdmn \(backbone=resnet50.*expected qdmn \(backbone=resnet18") as error:
        load_weights(small_network(), path)
    assert "\n" not in str(error.value)


def test_a_published_training_checkpoint_does_not_resume(tmp_path, published_entries):
    content = {"it": 7, "network": published_constants(published_entries), "optimizer": {}, "scheduler": {}}
    path = saved(tmp_path / "theirs.pth", content)
    with pytest.raises(InputError, match=r"published training checkpoint of QDMN.*--load_network") as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, zipped):
    path = saved(tmp_path / "c.pth", {**OURS, "iteration": 3}, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            load_checkpoint(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_refused(tmp_path, zipped):
    path = saved(tmp_path / "c.pth", {"w": torch.zeros(3), "n": [1, {"a": "b"}]}, _use_new_zipfile_serialization=zipped)
    whole, generator = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 20)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            read_weights(path)
