"""Everything stays on the device of the frames.

Shown without a GPU: tensors of PyTorch's meta device, which have no values, mix with no others.
"""

import pytest
import torch

import inference_core
from evaluation import averaging as inference_average
from evaluation.averaging import AveragingCore, View
from inference.fast_form import fold_batch_norm
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import NETWORKS
from model.memory.options import MemoryOptions
from tests.helpers.weight_files import smallest_network
from training.trainer import LOSSES, ClipForward, Objective

pytestmark = pytest.mark.slow

DEVICE = torch.device("meta")
MEMORY = MemoryOptions(mem_every=2, capacity=2)
CORES = {
    "first frame": lambda network: InferenceCore(network, MEMORY),
    "all positions": lambda network: InferenceCore(network, MEMORY, top_k=None),
    "any frame": lambda network: InferenceCoreYV(network, MEMORY),
    "averaged": lambda network: AveragingCore(lambda: InferenceCore(network, MEMORY), [View(), View(1.5, flip=True)]),
}


@pytest.fixture
def values(monkeypatch):
    """A meta tensor has no values: masks pass unseen, and every score is 0.9."""
    for module in (inference_core, inference_average):
        monkeypatch.setattr(module, "check_mask", lambda mask, image: None)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: [0.9] * tensor.numel())


@pytest.mark.usefixtures("values")
@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("arch", NETWORKS)
def test_inference(arch, kind):
    network = fold_batch_norm(smallest_network(arch).to(DEVICE))
    with DEVICE:
        images, masks = torch.empty(8, 3, 44, 60), torch.empty(2, 44, 60)
    core = CORES[kind](network)
    core.step(images[0], masks)
    for image in images[1:]:
        core.prefetch(image)
        probabilities = core.step(image)
    if kind == "any frame":
        core.step(images[0], masks[:1], [7])
        core.remove([1])
        probabilities = core.step(images[1])
    assert probabilities.device == DEVICE and probabilities.shape == (3, 44, 60)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("arch", NETWORKS)
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
