"""Weights in our format and in the published one, for the tests of checkpoint files."""

import json
from unittest import mock

import torch

from model import build_network, fitting_options
from model.interactive import ClickDecoder
from model.layers import resnet, vit
from model.layers.vit import ViTSize
from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN
from model.weights.checkpoint import Checkpoint, save_checkpoint
from tests.helpers.deterministic import FIXTURES
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

STEMS = {
    "qdmn": "mask_rgb_encoder.conv1.weight",
    "mask_propagation": "mask_rgb_encoder.conv1.weight",
    "stcn": "value_encoder.conv1.weight",
}
UNUSED_STATISTICS = {
    f"Encoder_{encoder}.{name}": values
    for encoder in "MQ"
    for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD))
}
# Encoders that need little time and room, in place of those of the same names.
NARROW = mock.patch.object(resnet, "WIDTHS", (8, 16, 32))
NARROW_VIT = mock.patch.dict(vit.SIZES, {"vit_ti16": ViTSize(48, 3, 12)})
FILES = {"qdmn": "qdmn", "mask_propagation": "maskprop", "stcn": "stcn"}


def read_published_entries(arch="qdmn"):
    """(name, shape, type) of every entry of the published weights."""
    if arch == "stm_cycle":
        entries = json.loads((FIXTURES / "stm_cycle_resnet50_state_dict.json").read_text())["entries"]
        return [(entry["key"], tuple(entry["shape"]), entry["dtype"]) for entry in entries]
    if arch in ("dropseg", "dropmae", "droptrack"):
        entries = json.loads((FIXTURES / f"{arch}_state_dict.json").read_text())
        kinds = {True: "int64", False: "float32"}
        return [(name, tuple(shape), kinds[name.endswith("batches_tracked")]) for name, shape in entries.items()]
    entries = json.loads((FIXTURES / f"keys_{FILES[arch]}_eval.json").read_text())
    return [(name, tuple(shape), dtype) for name, shape, dtype in entries]


def small_network(**options):
    torch.manual_seed(0)
    return QDMN(backbone="resnet18", **options).eval()


def smallest_network(arch, **options):
    """A network of any kind, with the smallest backbone."""
    torch.manual_seed(0)
    backbone = "vit_ti16" if arch == "dropseg" else "resnet18"
    return build_network(arch, **fitting_options(arch, {"backbone": backbone, **options})).eval()


def published_constants(entries, input_channels=5):
    """The published state dict with another number in each entry; each tensor takes a single number on disk."""
    state = {}
    for number, (name, shape, dtype) in enumerate(entries, 1):
        if name in STEMS.values():
            shape = (shape[0], input_channels, *shape[2:])
        state[name] = torch.tensor(number, dtype=getattr(torch, dtype)).expand(shape)
        if name in UNUSED_STATISTICS:
            state[name] = torch.tensor(UNUSED_STATISTICS[name]).view(shape)
    return state


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def checkpoint_of(network, **entries):
    return Checkpoint(network.arch, network.options, network.state_dict(), **entries)


def assert_same(ours, expected):
    """Equality of nested containers with tensors in them."""
    assert type(ours) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert ours.dtype == expected.dtype
        assert torch.equal(ours, expected)
    elif isinstance(expected, dict):
        assert list(ours) == list(expected)
        for key in expected:
            assert_same(ours[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            assert_same(one, other)
    else:
        assert ours == expected


def save_click_networks(folder):
    """`folder`/trunk.pth and the clicks.pth that belongs to it, small and with random weights; the folder."""
    torch.manual_seed(0)
    network = SmallQDMN(backbone="resnet18", key_dim=8, value_dim=8, width=8)
    save_checkpoint(folder / "trunk.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    decoder = ClickDecoder(channels=network.query_encoder.channels, width=40, depth=1, heads=2)
    save_checkpoint(folder / "clicks.pth", Checkpoint(decoder.arch, decoder.options, decoder.state_dict()))
    return folder
