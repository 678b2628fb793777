"""ImageNet weights for the encoders."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from model.resnet import ResNetEncoder
from util.errors import InputError


def load_imagenet_encoders(network: nn.Module, backbone: str, path: Path | None = None) -> None:
    """Start every ResNet encoder of a network from ImageNet weights.

    Args:
        network: its `ResNetEncoder` modules are filled.
        backbone: torchvision's name of the ResNet.
        path: a state dict with torchvision's names; by default torchvision's own weights, downloaded once.

    Raises:
        InputError: the weights cannot be had or do not fit.
    """
    weights = _read(path) if path else _download(backbone)
    for module in network.modules():
        if isinstance(module, ResNetEncoder):
            try:
                module.load_imagenet(weights)
            except ValueError as error:
                raise InputError(f"{path or 'the torchvision weights'} does not fit {backbone}: {error}") from error


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a state dict; expected ResNet weights with torchvision's names"
        ) from error


def _download(backbone: str) -> Mapping[str, Tensor]:
    try:
        return torchvision.models.get_model_weights(backbone.removesuffix("_v1")).IMAGENET1K_V1.get_state_dict(
            progress=True, check_hash=True
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"ImageNet weights of {backbone} cannot be downloaded ({error}); "
            "pass --backbone_weights FILE, or --no_pretrained_backbone to start from nothing"
        ) from error
