"""Networks give the same results in the form for inference."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from inference.fast_form import for_inference, use_winograd
from inference_core import InferenceCore
from model import NETWORKS
from model.layers.convolution import WinogradConv2d
from model.layers.resnet import ResNetEncoder
from model.memory.options import MemoryOptions
from tests.helpers.weight_files import smallest_network

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


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
    use_winograd(for_inference(network, CPU), least_channels=32)
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
    for_inference(encoder, CPU, amp=torch.bfloat16)
    fine = (first_features(enabled=True) - expected).square().mean().sqrt()
    assert fine < rough / 1.5


@pytest.mark.parametrize("arch", NETWORKS)
def test_weights_that_are_cast_once_are_cast_on_no_frame_and_give_the_same_masks(arch):
    images = torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 48, 64)
    masks[0, 5:25, 5:25], masks[1, 20:40, 30:60] = 1, 1

    def run(**options):
        network = for_inference(smallest_network(arch), CPU, amp=torch.bfloat16, **options)
        core = InferenceCore(network, MemoryOptions(mem_every=1))
        with torch.autocast("cpu", torch.bfloat16):
            core.step(images[0], masks)
            with Casts(network) as casts:
                result = torch.stack([core.step(image) for image in images[1:]])
        return result, casts.count

    once, casts = run()
    assert casts == 0
    each_time, casts = run(corrects=True)
    assert casts > 0
    assert torch.equal(once, each_time)


class Casts(TorchDispatchMode):
    """Counts the casts of a network's weights of more than one dimension."""

    def __init__(self, network):
        super().__init__()
        self.weights = {x.untyped_storage().data_ptr() for x in network.parameters() if x.ndim > 1}
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten._to_copy.default, torch.ops.aten.to.dtype):
            self.count += args[0].untyped_storage().data_ptr() in self.weights
        return function(*args, **(kwargs or {}))


def test_attention_works_in_bf16():
    layer = nn.ModuleDict(
        {"attention": nn.MultiheadAttention(16, 2, batch_first=True), "after": nn.Linear(16, 4)}
    ).eval()
    tokens = torch.randn(1, 5, 16)
    expected = layer["after"](layer["attention"](tokens, tokens, tokens, need_weights=False)[0])
    for_inference(layer, CPU, amp=torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = layer["after"](layer["attention"](tokens, tokens, tokens, need_weights=False)[0])
    assert layer["after"].weight.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
