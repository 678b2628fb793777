"""What cases run on: a tiny network with fixed weights, which notes the frames that it sees."""

import numpy as np
import pytest
import torch

import eval_generic
from examples.tiny_network import TinyNetwork
from inference_core_yv import InferenceCoreYV
from model import NETWORKS
from model.weights.checkpoint import Checkpoint, save_checkpoint
from tests.corpus.runner import Scene
from util.tensors import denormalise


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A checkpoint of the tiny network."""
    torch.manual_seed(0)
    network = TinyNetwork(key_dim=8, value_dim=8)
    path = tmp_path_factory.mktemp("model") / "tiny.pth"
    save_checkpoint(path, Checkpoint(network.arch, network.options, network.state_dict()))
    return path


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The tiny network is known."""
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)


@pytest.fixture
def seen(monkeypatch):
    """The frames (H, W, 3), uint8, that eval_generic.py gives to its core."""
    frames = []

    class SeeingCore(InferenceCoreYV):
        """Notes its frames."""

        def step(self, image, *rest, **options):
            frames.append(denormalise(image).permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
            return super().step(image, *rest, **options)

    monkeypatch.setattr(eval_generic, "InferenceCoreYV", SeeingCore)
    return frames


@pytest.fixture
def texts(capfd, caplog):
    """What was printed to stdout and stderr since the last call; warnings count as stderr."""

    def read():
        out, err = capfd.readouterr()
        warned = "".join(f"{record.getMessage()}\n" for record in caplog.records)
        caplog.clear()
        return out, warned + err

    return read


@pytest.fixture
def make_scene(tmp_path, monkeypatch, model):
    """A scene in a folder of its own, which becomes the current one."""

    def make(words):
        seed = [*"".join(map(str, words)).encode()]
        (tmp_path / "in").mkdir()
        monkeypatch.chdir(tmp_path)
        return Scene(tmp_path, np.random.default_rng(seed), model)

    return make
