"""ImageNet weights for the encoders."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torchvision
from torch import Tensor, nn

from model.layers.resnet import ResNetEncoder
from model.weights.checkpoint import check_weights, read_content, unwrapped
from util.errors import InputError

MASK_ENCODER = "memory_encoder"

logger = logging.getLogger(__name__)


def load_imagenet_encoders(network: nn.Module, paths: Sequence[Path] = ()) -> None:
    """Start every ResNet encoder of a network from ImageNet weights.

    Args:
        network: its `ResNetEncoder` modules are filled.
        paths: state dicts with torchvision's names, of which each encoder takes the first that fits; an encoder of
            masks for which there is none starts from nothing, with a warning. By default torchvision's own weights,
            downloaded once.

    Raises:
        InputError: weights cannot be had, or there are none for the image encoder.
    """
    files = {path: _read(path) for path in paths}
    for name, module in network.named_modules():
        if isinstance(module, ResNetEncoder):
            if files:
                _load_first(module, name, files)
            else:
                module.load_imagenet(_download(module.backbone))


def _load_first(encoder: ResNetEncoder, name: str, files: Mapping[Path, Mapping[str, Tensor]]) -> None:
    reasons = []
    for path, weights in files.items():
        try:
            encoder.load_imagenet(weights)
            return
        except ValueError as error:
            reasons.append(f"{path}: {error}")
    if name == MASK_ENCODER:
        logger.warning("no file of --backbone_weights is of a %s: %s starts from nothing", encoder.backbone, name)
        return
    raise InputError(
        f"no file of --backbone_weights fits a {encoder.backbone} ({'; '.join(reasons)}); give one that does"
    )


def _read(path: Path) -> Mapping[str, Tensor]:
    weights = unwrapped(read_content(path))
    check_weights(path, {key: value for key, value in weights.items() if isinstance(value, Tensor)})
    return weights


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
