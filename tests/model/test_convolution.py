"""Convolutions in less time equal plain ones: what all objects share computed once, and Winograd's."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.layers.convolution import WinogradConv2d, object_conv
from model.layers.decoder import MaskDecoder, ResidualBlock
from model.layers.resnet import ResNetEncoder
from model.qdmn import ASPP


def halves(batch, objects, own=6, shared=4, size=(7, 9)):
    """Own (B*K,C,h,w) and shared (B,S,h,w) features, and all of them for each object, own first."""
    torch.manual_seed(0)
    one, all_ = torch.randn(batch * objects, own, *size), torch.randn(batch, shared, *size)
    return one, all_, torch.cat([one, all_.repeat_interleave(objects, 0)], 1)


@pytest.mark.parametrize("objects", [1, 2, 3])
@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 2, "dilation": 2}, {"stride": 2}, {"bias": False}])
def test_a_convolution_of_halves_equals_that_of_the_whole(objects, options):
    own, shared, whole = halves(2, objects)
    conv = nn.Conv2d(10, 8, 3, **options)
    torch.testing.assert_close(object_conv(conv, own, shared), conv(whole), atol=1e-5, rtol=0)
    shared_first = torch.cat([whole[:, 6:], whole[:, :6]], 1)
    torch.testing.assert_close(object_conv(conv, own, shared, shared_first=True), conv(shared_first), atol=1e-5, rtol=0)


@pytest.mark.parametrize("out_channels", [8, 10])
def test_a_residual_block_and_a_pyramid_take_halves(out_channels):
    own, shared, whole = halves(2, 3)
    for block in (ResidualBlock(10, out_channels), ASPP(10, 4, out_channels).eval()):
        torch.testing.assert_close(block(own, shared), block(whole), atol=1e-5, rtol=0)


def test_a_decoder_takes_halves():
    own, shared, whole = halves(2, 3, size=(2, 3))
    decoder = MaskDecoder(10, 5, 3, 8)
    f8, f4 = torch.randn(2, 5, 4, 6), torch.randn(2, 3, 8, 12)
    torch.testing.assert_close(decoder(own, f8, f4, shared), decoder(whole, f8, f4), atol=1e-5, rtol=0)


def test_an_encoder_sees_each_objects_masks_beside_the_frame():
    torch.manual_seed(0)
    encoder = ResNetEncoder("resnet18", extra_channels=2).eval()
    image, planes = torch.randn(2, 3, 32, 48), torch.rand(6, 2, 32, 48)
    whole = torch.cat([image.repeat_interleave(3, 0), planes], 1)
    for ours, expected in zip(encoder(image, planes), encoder(whole), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (7, 9), (30, 54), (33, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_winograds_convolution_equals_one_in_float64(size, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(24, 40, 3, padding=1, bias=bias)
    x = torch.randn(2, 24, *size)
    exact = F.conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    torch.testing.assert_close(WinogradConv2d(conv)(x), exact.float(), atol=3e-5, rtol=0)


def test_winograds_convolution_does_many_channels_in_several_chunks():
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 8, 3, padding=1)
    x = torch.randn(1, 512, 40, 90).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(WinogradConv2d(conv)(x), conv(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shared_first", [False, True])
def test_winograds_convolution_takes_halves(shared_first):
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
def test_what_winograds_convolution_can_replace(conv, possible):
    assert WinogradConv2d.can_replace(conv) == possible
    assert not WinogradConv2d.can_replace(conv, least_channels=9)
