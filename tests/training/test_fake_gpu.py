"""Training on a CUDA device, shown without one: nothing lies on a wrong device, and a step waits for one flag."""

import numpy as np
import pytest
import torch

from datasets.train.augment import static_views, video_views
from datasets.train.clips import collate, pack_clip, to_device
from datasets.train.frame_pairs import pairs_to_device
from model import NETWORKS
from model.dropmae import DropMAE
from tests.helpers.fake_gpu import GPU, Waits, empty, fake_gpu, on_gpu
from tests.helpers.weight_files import smallest_network
from training.base_trainer import BaseTrainer
from training.pretrainer import Pretrainer
from training.trainer import LOSSES, Trainer
from util.device import trial

pytestmark = pytest.mark.slow

SIDE = 32


@pytest.fixture
def flags(monkeypatch):
    """What the trainer waits for; the backward pass, which wants a real device, leaves gradients without values."""
    found = []

    def in_any(trainer, spoilt, stop):
        found.append(spoilt.device)
        return False, stop

    monkeypatch.setattr(BaseTrainer, "_in_any", in_any)
    return found


def with_gradients(learner, monkeypatch):
    parameters = [p for group in learner.optimizer.param_groups for p in group["params"]]

    def backward(loss):
        assert loss.device == GPU and loss.requires_grad
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    return learner


@pytest.mark.parametrize(
    ("arch", "cycle", "loss"),
    [
        *((arch, False, "bootstrapped") for arch in NETWORKS),
        *(("qdmn_small", True, loss) for loss in LOSSES),
        ("stm_cycle", True, "both"),
    ],
)
def test_a_step_waits_for_one_flag(arch, cycle, loss, flags, monkeypatch):
    network = smallest_network(arch, **({"image_size": SIDE} if arch == "dropseg" else {}))
    with fake_gpu():
        learner = with_gradients(Trainer(on_gpu(network), GPU, cycle=cycle, loss=loss), monkeypatch)
        batch = {
            "frames": empty(2, 3, 3, SIDE, SIDE),
            "masks": empty(2, 3, 2, SIDE, SIDE),
            "labels": empty(2, 3, SIDE, SIDE, dtype=torch.long),
            "selector": empty(2, 2),
        }
        with Waits() as waits:
            losses, output, updated = learner.step([batch])
        assert updated and flags == [GPU] and waits.found == []
        assert losses["total_loss"].device == output.logits.device == GPU


def test_pre_training_waits_for_one_flag(flags, monkeypatch):
    network = DropMAE(backbone="vit_ti16", decoder_width=48, decoder_heads=3, decoder_depth=1, image_size=SIDE)
    with fake_gpu():
        learner = with_gradients(Pretrainer(on_gpu(network), GPU, lr=1e-3, iterations=10), monkeypatch)
        with Waits() as waits:
            losses, _, _ = learner.step(
                [pairs_to_device({"frames": empty(2, 2, 3, SIDE, SIDE, dtype=torch.uint8)}, GPU)]
            )
        assert losses["total_loss"].device == GPU and flags == [GPU] and waits.found == []


@pytest.mark.parametrize("make", [None, static_views, video_views])
def test_clips_are_sent_and_rendered_without_waiting(make):
    """Where loaders have pinned them."""
    trial.cache_clear()
    trial("frames made on the device").believed = True
    views = (make or video_views)((40, 50), 3, (SIDE, SIDE))
    masks = torch.zeros(3, 2, SIDE, SIDE, dtype=torch.uint8)
    clip = pack_clip([np.zeros((40, 50, 3), np.uint8)] * 3, views, masks, torch.ones(2), "a", render=make is None)
    batch = collate([clip, clip])
    with fake_gpu(), Waits() as waits:
        sent = to_device(batch, GPU)
    trial.cache_clear()
    assert {name: (x.device, tuple(x.shape)) for name, x in sent.items()} == {
        "frames": (GPU, (2, 3, 3, SIDE, SIDE)),
        "masks": (GPU, (2, 3, 2, SIDE, SIDE)),
        "labels": (GPU, (2, 3, SIDE, SIDE)),
        "selector": (GPU, (2, 2)),
    }
    assert waits.found == []
