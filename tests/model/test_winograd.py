"""Winograd's convolution equals the direct one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.layers.blocks import object_conv
from model.layers.winograd import WinogradConv2d, fits


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (7, 9), (30, 54), (33, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_a_convolution_in_float64(size, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(24, 40, 3, padding=1, bias=bias)
    x = torch.randn(2, 24, *size)
    exact = F.conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    torch.testing.assert_close(WinogradConv2d(conv)(x), exact.float(), atol=3e-5, rtol=0)


def test_many_channels_are_done_in_several_chunks():
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 8, 3, padding=1)
    x = torch.randn(1, 512, 40, 90).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shared_first", [False, True])
def test_halves_of_the_input_may_be_done_apart(shared_first):
    torch.manual_seed(0)
    conv = nn.Conv2d(10, 8, 3, padding=1)
    own, shared = torch.randn(6, 6, 5, 7), torch.randn(2, 4, 5, 7)
    expected, ours = (object_conv(c, own, shared, shared_first=shared_first) for c in (conv, WinogradConv2d(conv)))
    torch.testing.assert_close(ours, expected, atol=3e-5, rtol=0)


@pytest.mark.parametrize(
    ("conv", "possible"),
    [
        (nn.Conv2d(8, 8, 3, padding=1), True),
        (nn.Conv2d(8, 8, 3, padding=1, stride=2), False),
        (nn.Conv2d(8, 8, 3), False),
        (nn.Conv2d(8, 8, 3, padding=2, dilation=2), False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=2), False),
        (nn.Conv2d(8, 8, 1), False),
        (nn.Linear(8, 8), False),
    ],
)
def test_what_it_can_do(conv, possible):
    assert fits(conv) == possible
    assert not fits(conv, least_channels=9)
