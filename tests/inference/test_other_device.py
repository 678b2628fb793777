"""Gradients stay on the device of the frames.

Shown without a GPU: tensors of PyTorch's meta device, which have no values, mix with no others. Everything but the
backward pass is shown on a made-up CUDA device, see `tests.helpers.fake_gpu`.
"""

import pytest
import torch

from model import NETWORKS
from tests.helpers.weight_files import smallest_network
from training.trainer import LOSSES, ClipForward, Objective

pytestmark = pytest.mark.slow

DEVICE = torch.device("meta")


@pytest.mark.parametrize(
    ("arch", "loss"), [*((arch, "both") for arch in NETWORKS), *(("qdmn_small", loss) for loss in LOSSES[:-1])]
)
def test_training(arch, loss):
    network = smallest_network(arch, image_size=64).to(DEVICE).train()
    with DEVICE:
        batch = {
            "frames": torch.empty(2, 3, 3, 64, 64),
            "masks": torch.empty(2, 3, 2, 64, 64),
            "labels": torch.empty(2, 3, 64, 64, dtype=torch.long),
            "selector": torch.empty(2, 2),
        }
    output = ClipForward(network, cycle=True)(batch["frames"], batch["masks"][:, 0], batch["selector"])
    total = Objective(segmentation=loss).losses(output, batch, iteration=1)["total_loss"]
    total.backward()
    assert {parameter.grad.device for parameter in network.parameters() if parameter.grad is not None} == {DEVICE}
