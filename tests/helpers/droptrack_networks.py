"""DropTracks with the weights that the published numbers were made with: the published size, and a small one."""

import json
import zlib
from unittest import mock

import numpy as np
import torch

from model.droptrack import DropTrack
from model.layers import vit
from model.layers.vit import ViTSize
from model.weights.published import from_published
from tests.helpers.deterministic import FIXTURES
from tests.helpers.parity import as_asked
from util.tensors import normalise

SMALL_SIZE = mock.patch.dict(vit.SIZES, {"vit_fixture": ViTSize(96, 3, 4)})
SMALL = {
    "backbone": "vit_fixture",
    "template_size": 128,
    "search_size": 256,
    "elimination_blocks": (1, 2, 3),
    "head_channels": 128,
}


def filled(key, shape):
    """The value of a published entry."""
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if "pos_embed" in key or "cls_token" in key:
        value = 0.5 * noise
    elif len(shape) >= 2:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        if key.startswith("box_head."):
            noise = noise - noise.mean(axis=tuple(range(1, len(shape))), keepdims=True)
            factors = {"conv5_size.weight": 0.25, "conv5_offset.weight": 0.5}
            value = noise * scale * next((f for end, f in factors.items() if key.endswith(end)), 1)
        else:
            value = 0.5 * noise * scale
    elif key.endswith("running_var"):
        value = 1 + 0.1 * np.abs(noise)
    elif key.endswith("weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise - (1.4 if key.endswith("conv5_size.bias") else 0)
    return torch.from_numpy(np.asarray(value, np.float32))


def published_tracker(small=True):
    """The published state dict."""
    name = "droptrack_small_state_dict" if small else "droptrack_state_dict"
    shapes = json.loads((FIXTURES / f"{name}.json").read_text())
    return {key: filled(key, tuple(shape)) for key, shape in shapes.items()}


def small_tracker(**options):
    """The small network in evaluation mode."""
    with SMALL_SIZE:
        network = DropTrack(**SMALL, **{"drop_path": 0.0, **options})
    network.load_state_dict(from_published("droptrack", published_tracker()))
    return as_asked(network.eval())


def full_tracker():
    """The published network in evaluation mode."""
    network = DropTrack(drop_path=0.0)
    network.load_state_dict(from_published("droptrack", published_tracker(small=False)))
    return as_asked(network.eval())


def batch_of(pixels):
    """RGB (H,W,3), uint8 -> (1,3,H,W), normalised."""
    return normalise(pixels)[None]
