"""Networks give the same results in the form for inference."""

import pytest
import torch
from torch import nn

from inference.fast_form import for_inference, use_winograd
from inference_core import InferenceCore
from model import NETWORKS
from model.layers.convolution import WinogradConv2d
from model.layers.resnet import ResNetEncoder
from model.memory.options import MemoryOptions
from tests.helpers.weight_files import smallest_network

pytestmark = pytest.mark.slow


def network_with_statistics(arch):
    """A network whose batch-norms all do something else."""
    network = smallest_network(arch)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


@pytest.mark.parametrize("arch", NETWORKS)
def test_results_stay_the_same(arch):
    network = network_with_statistics(arch)
    images = torch.randn(4, 3, 48, 64)
    masks = torch.zeros(2, 48, 64)
    masks[0, 5:25, 5:25], masks[1, 20:40, 30:60] = 1, 1

    def run():
        core = InferenceCore(network, MemoryOptions(mem_every=1))
        return torch.stack([core.step(image, masks if t == 0 else None) for t, image in enumerate(images)])

    before = run()
    use_winograd(for_inference(network, torch.device("cpu")), least_channels=32)
    assert any(isinstance(module, WinogradConv2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(run(), before, atol=2e-4, rtol=0)


@pytest.mark.parametrize("planes", [None, (2, 1, 64, 96)])
def test_bf16_is_nearer_to_float32_with_precise_first_layers(planes):
    torch.manual_seed(0)
    encoder = ResNetEncoder("resnet50", extra_channels=0 if planes is None else 1).eval()
    inputs = [torch.randn(1, 3, 64, 96)] if planes is None else [torch.randn(1, 3, 64, 96), torch.rand(planes)]

    @torch.inference_mode()
    def first_features(enabled):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return encoder(*inputs)[0].float()

    expected = first_features(enabled=False)
    rough = (first_features(enabled=True) - expected).square().mean().sqrt()
    for_inference(encoder, torch.device("cpu"), amp=torch.bfloat16)
    fine = (first_features(enabled=True) - expected).square().mean().sqrt()
    assert fine < rough / 1.5
