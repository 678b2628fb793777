"""Checkpoint files: ours, and published state dicts in and out."""

import argparse
import logging
import math
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from model import OTHERS, Network, build_network
from model.droptrack import DropTrack
from model.interactive import ClickDecoder, ClickNetwork, fingerprint
from model.layers.resnet import ResNetEncoder, append_input_channels
from model.memory_network import MemoryNetwork
from model.weights.published import PUBLISHED, from_published, identify, to_published
from util.errors import InputError
from util.files import atomic_path

FORMAT = "vos-checkpoint"
VERSION = 1
MEMORY_STEM = "memory_encoder.conv1.weight"
FIELDS: dict[str, tuple[type, ...]] = {
    "arch": (str,),
    "options": (dict,),
    "network": (dict,),
    "iteration": (int,),
    "best_score": (int, float),
    "arguments": (dict,),
    **dict.fromkeys(("optimizer", "scheduler", "scaler", "average"), (dict, NoneType)),
}
PREFIXES = ("module.", "_orig_mod.")
WEIGHTLESS = ("drop_path", "elimination_blocks", "keep_rates", "ranking")  # options that change no entry of a network
# Options that add a part, with the beginning of its entries and with the options that are of the part alone.
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "quality_head": ("quality_scorer.", ("score_activation",)),
    "guided": ("whereabouts.", ()),
}
WRAPPERS = ("network", "state_dict", "model", "net")  # under which published training checkpoints keep the weights
# Classes of the published trackers' training files, of which nothing is wanted: objects without code stand in for them.
INERT_CLASSES = [
    (type(name.rpartition(".")[2], (), {}), name)
    for name in (
        "lib.train.admin.settings.Settings",
        "lib.train.admin.local.EnvironmentSettings",
        "lib.train.admin.stats.AverageMeter",
        "lib.train.admin.stats.StatValue",
    )
]

logger = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """Everything that training needs to continue; weights alone leave the rest empty.

    Attributes:
        arch, options: what `build_network` takes.
        network: state dict under our names.
        optimizer, scheduler, scaler: their state dicts.
        average: of the moving average of the weights, if the run has one.
        iteration: updates made so far.
        best_score: best J&F in validation so far, -1 before the first.
        arguments: the command line of the run.
    """

    arch: str
    options: dict[str, Any]
    network: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    average: dict[str, Any] | None = None
    iteration: int = 0
    best_score: float = -1.0
    arguments: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, previous: Path | None = None, known: bool = False) -> None:
    """Write a checkpoint in our format, atomically.

    Args:
        path: where to.
        checkpoint: what.
        previous: keeps the file that was at `path` before.
        known: a file at `path` is the caller's own, so that it is replaced without a check and nothing is recorded.
    """
    with atomic_path(path, known=known) as temporary:
        content = {item.name: getattr(checkpoint, item.name) for item in fields(Checkpoint)}
        _save({"format": FORMAT, "version": VERSION, **content}, temporary, path)
        if previous is not None and path.exists():
            os.replace(path, previous)


def save_published(path: Path, network: Network) -> None:
    """Write a network's weights as the published code reads them, atomically."""
    weights = to_published(network.arch, network.state_dict())
    wrapper = PUBLISHED[network.arch].wrapper
    with atomic_path(path) as temporary:
        _save({wrapper: weights} if wrapper else weights, temporary, path)


def _save(content: dict[str, Any], temporary: Path, path: Path) -> None:
    try:
        torch.save(content, temporary)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be written; is the disk full? ({str(error).splitlines()[0]})") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of ours with everything that training needs.

    Raises:
        InputError: the file is not a checkpoint of ours.
    """
    content = read_content(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} is {_describe(content)}, not a training checkpoint of this project; "
            "pass it by --load_network to take its weights"
        )
    checkpoint = _ours(path, content)
    if checkpoint.optimizer is None:
        raise InputError(f"{path} holds weights alone; resume from <id>_checkpoint.pth or pass it by --load_network")
    return checkpoint


def load_newest(paths: Sequence[Path]) -> tuple[Path, Checkpoint] | None:
    """The first of these training checkpoints that is whole, with its path; damaged ones are named in warnings."""
    for path in paths:
        try:
            return path, load_checkpoint(path)
        except InputError as error:
            logger.warning("%s; trying the one before", error)
    return None


def load_network(path: Path, device: torch.device) -> MemoryNetwork:
    """Build the network that a checkpoint file holds, in evaluation mode.

    Args:
        path: a checkpoint of ours, or a published state dict.
        device: where the network goes.

    Raises:
        InputError: the file cannot be read or holds another network.
    """
    return restore_memory_network(read_weights(path), path).to(device).eval()


def restore_memory_network(checkpoint: Checkpoint, path: Path) -> MemoryNetwork:
    """The network of a checkpoint, with its weights.

    Raises:
        InputError: this code has no such network, or it segments nothing.
    """
    network = restore_network(checkpoint, path)
    if isinstance(network, DropTrack):
        raise InputError(f"{path} holds {network.arch}, which finds boxes and no masks; pass it to eval_boxes.py")
    if not isinstance(network, MemoryNetwork):
        raise InputError(f"{path} holds {network.arch}, which segments nothing by itself; give a network for videos")
    return network


def load_tracker(path: Path, device: torch.device) -> DropTrack:
    """Build the tracker that a checkpoint file holds, in evaluation mode.

    Args:
        path: a checkpoint of ours, or a published file of DropTrack or OSTrack.
        device: where the network goes.

    Raises:
        InputError: the file cannot be read or holds another network.
    """
    return restore_tracker(read_weights(path), path).to(device).eval()


def restore_tracker(checkpoint: Checkpoint, path: Path) -> DropTrack:
    """The tracker of a checkpoint, with its weights.

    Raises:
        InputError: this code has no such network, or it tracks nothing.
    """
    network = restore_network(checkpoint, path)
    if not isinstance(network, DropTrack):
        raise InputError(f"{path} holds {network.arch}, which is no tracker; expected weights of DropTrack or OSTrack")
    return network


def restore_network(checkpoint: Checkpoint, path: Path) -> Network:
    """As `restore_memory_network`, also for what stands in `OTHERS`."""
    build = OTHERS.get(checkpoint.arch) or partial(build_network, checkpoint.arch)
    try:
        network = build(**checkpoint.options)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} describes a network that this code does not have: {reason:.200}") from error
    fill_network(network, checkpoint, path)
    return network


def load_click_network(path: Path, trunk: nn.Module) -> ClickNetwork:
    """The network that turns clicks into masks, in evaluation mode.

    Args:
        path: of what was learned.
        trunk: the image encoder that it was learned for, on its device and not yet in the form for inference; shared.

    Raises:
        InputError: the file cannot be read, holds another network, or was learned for other weights of the trunk.
    """
    checkpoint = read_weights(path)
    if checkpoint.arch != ClickDecoder.arch:
        raise InputError(f"{path} holds {checkpoint.arch}, not what turns clicks into masks; see train_interactive.py")
    decoder = restore_network(checkpoint, path)
    assert isinstance(decoder, ClickDecoder)
    if not isinstance(trunk, ResNetEncoder) or decoder.options["trunk"] not in ("", fingerprint(trunk)):
        raise InputError(
            f"{path} was trained for another image encoder than that of the network; give the network that it belongs "
            "to, or train it anew for this one (train_interactive.py --load_network)"
        )
    device = next(trunk.parameters()).device
    return ClickNetwork(trunk, decoder.to(device)).eval()


def load_weights(network: Network, path: Path) -> None:
    """Load the weights of a checkpoint file into a network of the same kind.

    Weights of the single-object form fit the two-object form: its additional input channel starts orthogonal. Weights
    without one of the `PARTS` fit a network with it, which keeps its first weights there.

    Raises:
        InputError: the file cannot be read or holds another network.
    """
    fill_network(network, read_weights(path), path)


def read_weights(path: Path) -> Checkpoint:
    """Read the weights of a file of ours, a published state dict, or a published training checkpoint.

    Of a training checkpoint with a moving average of the weights, the average.
    """
    content = read_content(path)
    if content.get("format") == FORMAT:
        checkpoint = _ours(path, content)
        checkpoint.network = checkpoint.average or checkpoint.network
        return checkpoint
    state = published_state(content)
    arch = identify(state)
    if arch not in PUBLISHED:
        names = ", ".join(PUBLISHED)
        raise InputError(f"{path} is {_describe(content)}; expected weights of ours, or published ones of {names}")
    check_weights(path, state)
    try:
        return Checkpoint(arch, PUBLISHED[arch].options(state), from_published(arch, state))
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} holds weights of {arch} that are not whole ({error}); fetch it again") from error


def _ours(path: Path, content: dict[str, Any]) -> Checkpoint:
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path} is a damaged checkpoint: its version is {version!r:.50}; save it again")
    if version > VERSION:
        raise InputError(f"{path} has format version {version}, this code reads {VERSION}; update the code")
    try:
        checkpoint = Checkpoint(**{k: v for k, v in content.items() if k not in ("format", "version", "rng")})
    except TypeError as error:
        raise InputError(f"{path} is a damaged checkpoint ({error}); save it again") from error
    for name, kinds in FIELDS.items():
        value = getattr(checkpoint, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise InputError(f"{path} is a damaged checkpoint: {name} is a {type(value).__name__}; save it again")
    if checkpoint.iteration < 0 or not math.isfinite(checkpoint.best_score):
        raise InputError(f"{path} is a damaged checkpoint: iteration or best_score is out of range; save it again")
    checkpoint.network = unwrapped(checkpoint.network)
    for state in (checkpoint.network, checkpoint.average or {}):
        check_weights(path, state)
    return checkpoint


def unwrapped(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict without what DataParallel, DistributedDataParallel and torch.compile put before every entry."""
    found = dict(state)
    while found and (prefix := next((p for p in PREFIXES if all(str(key).startswith(p) for key in found)), None)):
        found = {str(key).removeprefix(prefix): value for key, value in found.items()}
    return found


def check_weights(path: Path, state: Mapping[Any, Any]) -> None:
    """Refuse a state dict whose entries are not plain tensors of finite numbers.

    Raises:
        InputError: one is not; it is named.
    """
    spoilt = []
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path} holds a {type(value).__name__} as its entry {name!r:.80}; expected a tensor")
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise InputError(f"{path} holds {name} in a form that is no weight (sparse, quantised, complex or empty)")
        if value.is_floating_point() and not bool(value.float().isfinite().all()):
            spoilt.append(name)
    if spoilt:
        raise InputError(
            f"{path} holds numbers that are not finite in {len(spoilt)} of {len(state)} entries, first {spoilt[0]}; "
            "take weights from before the training went wrong"
        )


def published_state(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights in a published file, bare or in a training checkpoint.

    The prefixes that `unwrapped` knows are dropped.
    """
    wrapped = [content[name] for name in WRAPPERS if isinstance(content.get(name), dict)]
    return unwrapped(wrapped[0] if wrapped else content)


def read_content(path: Path) -> dict[str, Any]:
    """The content of a file that holds nothing but tensors, plain values, and arguments as `argparse` keeps them.

    Raises:
        InputError: the file is missing or damaged, or holds something else.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"checkpoint {path} is a folder; give the .pth file in it")
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist; check the path or train one with train.py")
    with path.open("rb") as file:
        magic = file.read(2)
    if magic not in (b"PK", b"\x80\x02"):
        raise InputError(f"{path} is not a checkpoint: it is neither a zip archive nor a pickle of PyTorch")
    try:
        if magic == b"PK":
            _verify_checksums(path)
        with torch.serialization.safe_globals([argparse.Namespace, *INERT_CLASSES]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds Python objects that could run code; expected tensors and plain values"
        ) from error
    except Exception as error:
        raise InputError(f"{path} is truncated or damaged; save or fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; expected a checkpoint or a state dict")
    return content


def _verify_checksums(path: Path) -> None:
    """Compare each record with the CRC-32 that was stored with it, which torch.load does not do."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"record {damaged} has another checksum")


def _describe(content: Mapping[str, Any]) -> str:
    name = identify(published_state(content))
    if any(isinstance(content.get(wrapper), dict) for wrapper in WRAPPERS):
        return f"a published training checkpoint of {name}" if name else "a training checkpoint of an unknown network"
    return f"a state dict of {name}" if name else "a file of an unknown network"


def fill_network(network: Network, checkpoint: Checkpoint, path: Path) -> None:
    """Give a network the weights of a checkpoint of the same kind, which may differ as in `load_weights`.

    Raises:
        InputError: the checkpoint holds another network.
    """
    found, expected = _name(checkpoint.arch, checkpoint.options), _name(network.arch, network.options)
    target, state = network.state_dict(), dict(checkpoint.network)
    may_differ = {"multi_object", "trunk", *WEIGHTLESS}
    for option, (prefix, of_part) in PARTS.items():
        if option in network.options and not checkpoint.options.get(option):
            may_differ |= {option, *of_part}
            state = {**{key: value for key, value in target.items() if key.startswith(prefix)}, **state}
    if any(
        checkpoint.options[k] != v
        for k, v in network.options.items()
        if k not in may_differ and k in checkpoint.options
    ):
        raise InputError(f"{path} holds {found}, expected {expected}; start with the options of the file")
    if MEMORY_STEM in state and MEMORY_STEM in target:
        state[MEMORY_STEM] = append_input_channels(state[MEMORY_STEM], target[MEMORY_STEM].shape[1])
    missing = [key for key in target if key not in state]
    foreign = [key for key in state if key not in target]
    misfits = [key for key in target if key in state and not _fits(state[key], target[key])]
    if missing or foreign or misfits:
        first = (missing + foreign + misfits)[0]
        counts = f"{len(missing)} entries missing, {len(foreign)} unknown, {len(misfits)} of another shape"
        raise InputError(f"{path} holds {found}, expected {expected}: {counts}, first {first}")
    network.load_state_dict(state)


def _fits(value: Tensor, target: Tensor) -> bool:
    return value.shape == target.shape and value.is_floating_point() == target.is_floating_point()


def _name(arch: str, options: Mapping[str, Any]) -> str:
    return f"{arch} ({', '.join(f'{key}={value}' for key, value in options.items())})"
