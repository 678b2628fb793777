"""The form of a network that is fastest at inference, with the same results up to rounding."""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.layers.convolution import WinogradConv2d
from model.layers.quality import QualityScorer
from model.layers.resnet import ResNetEncoder
from model.qdmn import PriorGate

LEAST_CHANNELS = 192
CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, PriorGate)

Network = TypeVar("Network", bound=nn.Module)


def for_inference(
    network: Network,
    device: torch.device,
    *,
    amp: torch.dtype | None = None,
    compiled: bool = False,
    corrects: bool = False,
) -> Network:
    """Fold batch-norms and lay channels last, in place.

    On a CPU in float32, large 3x3 convolutions are done Winograd's way; in bf16, the first layers of the encoders stay
    in float32.

    Args:
        network: in evaluation mode; it can be neither trained nor saved afterwards.
        device: where it will work.
        amp: what autocast computes in; None without autocast. Weights are cast once, here: the network then works under
            that autocast alone.
        compiled: the network will be compiled, which excludes Winograd's way.
        corrects: masks will be corrected, which is done without autocast: weights stay as they are.

    Returns:
        The network.
    """
    fold_batch_norm(network)
    lay_channels_last(network)
    if amp is torch.bfloat16:
        keep_entry_precise(network)
    if amp is not None and not corrects:
        cast_weights(network, amp)
    return use_winograd(network) if device.type == "cpu" and amp is None and not compiled else network


def lay_channels_last(network: Network) -> Network:
    """Lay out the filters with channels last, in place; maps follow them."""
    return network.to(memory_format=torch.channels_last)


def keep_entry_precise(network: Network) -> Network:
    """Do the first layers of all ResNet encoders in float32 under autocast, in place."""
    for module in network.modules():
        if isinstance(module, ResNetEncoder):
            module.precise_entry = True
    return network


def cast_weights(network: Network, dtype: torch.dtype) -> Network:
    """Cast the weights that autocast would cast again on frames, in place; first layers in float32 keep theirs."""
    kept: set[nn.Module] = set()
    for module in network.modules():
        if isinstance(module, ResNetEncoder) and module.precise_entry:
            kept |= {module.conv1, *module.layer1[0].modules()}
        if isinstance(module, nn.MultiheadAttention):  # reads the weights of its parts itself, without autocast
            kept |= {*module.children()}
    for module in network.modules():
        if isinstance(module, CAST) and module not in kept:
            module.to(dtype)
    return network


def fold_batch_norm(network: Network) -> Network:
    """Put every batch-norm into the convolution that its module registered just before it, in place."""
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return network


def use_winograd(network: Network, least_channels: int = LEAST_CHANNELS) -> Network:
    """Replace 3x3 convolutions of at least so many channels in and out, in place; below 192 it does not pay.

    Encoders and scorers keep theirs: their maps are small, and the filters take four times the memory.
    """
    for name, child in list(network.named_children()):
        if WinogradConv2d.can_replace(child, least_channels):
            setattr(network, name, WinogradConv2d(child))
        elif not isinstance(child, ResNetEncoder | QualityScorer):
            use_winograd(child, least_channels)
    return network
