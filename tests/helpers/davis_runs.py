"""Runs of the DAVIS evaluation scripts with a core that needs no network, and where their files lie."""

import eval_davis
import eval_davis_2016
from evaluation import cores
from tests.helpers.davis_trees import FAKE_NETWORK, FakeCore


def use_fake_core(monkeypatch):
    """Both scripts build the fake core; the list collects the checkpoints that are asked for."""
    loaded = []

    def load(path, device):
        loaded.append(path)
        return FAKE_NETWORK

    monkeypatch.setattr(cores, "load_network", load)
    for script in (eval_davis, eval_davis_2016):
        monkeypatch.setattr(script, "InferenceCore", FakeCore)
    return loaded


def evaluate(script, davis, output, *flags):
    script.main(["--davis", str(davis), "--output", str(output), "--device", "cpu", *map(str, flags)])


def masks_of(davis, video="bike"):
    return davis / "trainval/Annotations/480p" / video


def frames_of(davis, video="bike"):
    return davis / "trainval/JPEGImages/480p" / video
