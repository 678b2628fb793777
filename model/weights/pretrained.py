"""Pre-trained encoders: ImageNet's for ResNets, DropMAE's (CVPR 2023) or MAE's (CVPR 2022) for vision transformers."""

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from model.dropmae import DropMAE
from model.dropseg import DropSeg
from model.droptrack import DropTrack, position_tokens
from model.layers.resnet import ResNetEncoder
from model.layers.vit import PATCH, PRETRAINED_GRID, ViTEncoder, resize_grid, sincos_grid
from model.weights.checkpoint import (
    FORMAT,
    check_weights,
    fill_network,
    published_state,
    read_content,
    read_weights,
    unwrapped,
)
from model.weights.published import as_grid, encoder_names, identify, to_published
from util.errors import InputError

MASK_ENCODER = "memory_encoder"
TRACKER_POSITIONS = ("template_positions", "search_positions")
POSITIONS = "pos_embed"
REMEDY = "pass --backbone_weights FILE, or --no_pretrained_backbone to start from nothing"

logger = logging.getLogger(__name__)


def load_imagenet_encoders(network: nn.Module, paths: Sequence[Path] = (), *, remedy: str = REMEDY) -> None:
    """Start every ResNet encoder of a network from ImageNet weights.

    Args:
        network: its `ResNetEncoder` modules are filled.
        paths: state dicts with torchvision's names, of which each encoder takes the first that fits; an encoder of
            masks for which there is none starts from nothing, with a warning. By default torchvision's own weights,
            downloaded once.
        remedy: what to do where they cannot be downloaded.

    Raises:
        InputError: weights cannot be had, or there are none for the image encoder.
    """
    files = {path: _read(path) for path in paths}
    for name, module in network.named_modules():
        if isinstance(module, ResNetEncoder):
            if files:
                _load_first(module, name, files)
            else:
                module.load_imagenet(_download(module.backbone, remedy))


def _load_first(encoder: ResNetEncoder, name: str, files: Mapping[Path, Mapping[str, Tensor]]) -> None:
    reasons = []
    for path, weights in files.items():
        try:
            encoder.load_imagenet(weights)
            return
        except ValueError as error:
            reasons.append(f"{path}: {error}")
    if name == MASK_ENCODER:
        logger.warning("no given file is of a %s: %s starts from nothing", encoder.backbone, name)
        return
    raise InputError(f"no given file fits a {encoder.backbone} ({'; '.join(reasons)}); give one that does")


def _read(path: Path) -> Mapping[str, Tensor]:
    weights = unwrapped(read_content(path))
    check_weights(path, {key: value for key, value in weights.items() if isinstance(value, Tensor)})
    return weights


def _download(backbone: str, remedy: str) -> Mapping[str, Tensor]:
    import torchvision  # takes as long to import as torch itself

    try:
        return torchvision.models.get_model_weights(backbone.removesuffix("_v1")).IMAGENET1K_V1.get_state_dict(
            progress=True, check_hash=True
        )
    except (OSError, RuntimeError) as error:
        raise InputError(f"ImageNet weights of {backbone} cannot be downloaded ({error}); {remedy}") from error


class LoadReport(NamedTuple):
    """What came of each entry.

    Attributes:
        taken: entries of the file that were used, by their names there, published ones for a file of ours.
        left: entries of the file that were not.
        missing: entries of the network that the file does not have: new layers, which keep their first weights.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(f"{len(names)} {kind} ({_summary(names)})" for kind, names in self._asdict().items())


def load_tracker_start(network: DropTrack, path: Path) -> LoadReport | None:
    """Begin a tracker with all weights of another one of its width, or with the encoder of a masked auto-encoder.

    Positions of another size are resized. The roles of OSTrack, which has none, are zeros; those of plain MAE stay as
    they are.

    Args:
        network: is changed.
        path: weights of DropTrack or OSTrack, ours or published, or what `load_mae_encoder` takes.

    Returns:
        What was taken of an auto-encoder; None where all of a tracker was.

    Raises:
        InputError: the file cannot be read, or holds no such weights, or those of another size.
    """
    content = read_content(path)
    is_ours = content.get("format") == FORMAT
    if (content.get("arch") if is_ours else identify(published_state(content))) != DropTrack.arch:
        return load_mae_encoder(network, path)
    checkpoint = read_weights(path)
    for name in TRACKER_POSITIONS:
        found, target = checkpoint.network.get(name), network.state_dict()[name]
        if isinstance(found, Tensor) and found.ndim == 3 and found.shape[1] != target.shape[1]:
            side = math.isqrt(target.shape[1])
            checkpoint.network[name] = position_tokens(as_grid(found.float()), side * PATCH)
    own = {key: network.options[key] for key in ("template_size", "search_size")}
    checkpoint.options = {**checkpoint.options, **own}
    fill_network(network, checkpoint, path)
    return None


def load_mae_encoder(network: DropSeg | DropTrack, path: Path) -> LoadReport:
    """Fill the encoder and the positions of a network from a masked auto-encoder, and log what was taken.

    Embeddings of the two roles, which plain MAE does not have, stay as they are then. Positions are those of the file,
    else sin-cos ones, made for the network's own picture sizes.

    Args:
        network: is changed.
        path: a training file as published for DropMAE or MAE, a bare state dict of either, or a file of our own
            pre-training.

    Raises:
        InputError: the file cannot be read, or holds no such encoder, or another size of it.
    """
    state = _published(path)
    _check_width(state, _encoder(network)[1], network.options["backbone"], path)
    fitting = _fitting(state, network, path)
    filled = {name: state[key] for key, name in fitting.items()} | _positions(state, network, path)
    network.load_state_dict(filled, strict=False)
    taken = tuple(key for key in state if key in fitting or key == POSITIONS)
    report = LoadReport(
        taken,
        tuple(key for key in state if key not in taken),
        tuple(name for name in network.state_dict() if name not in filled),
    )
    logger.info("%s: %s", path, report)
    return report


def _published(path: Path) -> Mapping[str, Any]:
    """The entries of a file under published names."""
    content = read_content(path)
    if content.get("format") != FORMAT:
        state = published_state(content)
        check_weights(path, {key: value for key, value in state.items() if isinstance(value, Tensor)})
        return state
    checkpoint = read_weights(path)
    if checkpoint.arch != DropMAE.arch:
        raise InputError(f"{path} holds {checkpoint.arch}; expected weights of DropMAE or MAE")
    return to_published(DropMAE.arch, checkpoint.network)


def _encoder(network: DropSeg | DropTrack) -> tuple[str, ViTEncoder]:
    """The encoder of a network and its name there."""
    return ("encoder", network.encoder) if isinstance(network, DropTrack) else ("query_encoder", network.query_encoder)


def _fitting(state: Mapping[str, Any], network: DropSeg | DropTrack, path: Path) -> dict[str, str]:
    """Names of the encoder's entries, in the file and in the network; all blocks are there and have the right shape."""
    backbone, target, encoder = network.options["backbone"], network.state_dict(), _encoder(network)[0]
    fitting = {key: name for key in state if (name := _ours(key, encoder)) in target}
    absent = [name for name in target if name.startswith(f"{encoder}.blocks.") and name not in fitting.values()]
    if absent:
        raise InputError(
            f"{path} lacks {len(absent)} entries of the blocks of {backbone}; expected weights of DropMAE or MAE"
        )
    for key, name in fitting.items():
        if not isinstance(state[key], Tensor):
            raise InputError(f"{path} holds a {type(state[key]).__name__} as {key}; give weights that fit")
        if state[key].shape != target[name].shape:
            found, expected = tuple(state[key].shape), tuple(target[name].shape)
            raise InputError(f"{path} has {key} of shape {found}, {backbone} needs {expected}; give weights that fit")
    return fitting


def _ours(key: str, encoder: str) -> str:
    """The name in the network of an entry of the encoder, empty for others."""
    for published, ours in encoder_names(encoder):
        if key.startswith(published):
            return ours + key.removeprefix(published)
    return ""


def _check_width(state: Mapping[str, Any], encoder: ViTEncoder, backbone: str, path: Path) -> None:
    found = state.get("patch_embed.proj.weight")
    if not isinstance(found, Tensor):
        raise InputError(f"{path} holds no vision transformer; expected weights of DropMAE or MAE")
    if found.shape[0] != encoder.width:
        raise InputError(
            f"{path} holds an encoder of {found.shape[0]} channels, {backbone} has {encoder.width}; "
            "choose the backbone of the file"
        )


def _positions(state: Mapping[str, Tensor], network: DropSeg | DropTrack, path: Path) -> dict[str, Tensor]:
    """The network's positions of two sizes."""
    found = state.get(POSITIONS)
    if found is None:
        grid = sincos_grid(_encoder(network)[1].width, PRETRAINED_GRID)
    else:
        count = found.shape[1] - 1
        if math.isqrt(count) ** 2 != count:
            raise InputError(f"{path} has {POSITIONS} of {count + 1} rows; expected a square grid and a class row")
        grid = resize_grid(as_grid(found[:, 1:].float()), (PRETRAINED_GRID, PRETRAINED_GRID))
    if isinstance(network, DropTrack):
        sizes = (network.template_size, network.search_size)
        return {name: position_tokens(grid, size) for name, size in zip(TRACKER_POSITIONS, sizes, strict=True)}
    height, width = network.positions.shape[-2:]
    return {"pretrained_positions": grid, "positions": resize_grid(grid, (height, width))}


def _summary(names: Sequence[str]) -> str:
    """The parts of the network that the names belong to, each once."""
    return ", ".join(part for part, _ in groupby(names, lambda name: name.partition(".")[0])) or "none"
