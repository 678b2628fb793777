"""Checkpoint files that do not fit are named in one line."""

import os
import pickle
import random

import pytest
import torch

from model.weights.checkpoint import Checkpoint, load_checkpoint, load_network, load_weights, read_weights
from tests.helpers.weight_files import published_constants, read_published_entries, saved, small_network
from util.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published_entries():
    return read_published_entries()


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


TORCHVISION = zeros("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight", "fc.weight")
OURS = {"format": "vos-checkpoint", "version": 1, **vars(Checkpoint("qdmn", {}, {}))}
WRONG_FILES = {
    "torchvision": (
        lambda p: saved(p, TORCHVISION),
        "ImageNet ResNet; expected weights of ours",
    ),
    "unknown": (lambda p: saved(p, zeros("some.weight")), "unknown network; expected weights of ours"),
    "foreign training": (lambda p: saved(p, {"it": 1, "network": TORCHVISION}), "training checkpoint of an ImageNet"),
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
    with pytest.raises(InputError, match=r"published training checkpoint of qdmn.*--load_network") as error:
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
