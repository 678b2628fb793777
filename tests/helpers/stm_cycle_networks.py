"""STM-Cycle with the weights of the fixtures."""

import json
import zlib

import numpy as np
import torch

from model.stm_cycle import STMCycle
from model.weights.published import from_published
from tests.helpers.deterministic import FIXTURES
from tests.helpers.parity import as_asked

GRID = (4, 6)
SHARP = {"Key.weight": 6, "conv1_m.weight": 4, "conv1_bg.weight": 4, "pred2.weight": 4, "KV_M_r4.Value.weight": 4}
BACKBONES = ("resnet18", "resnet50")


def deterministic_array(key, shape, dtype):
    if "int" in dtype:
        return np.zeros(shape, np.int64)
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    if len(shape) >= 2:
        noise = 0.5 * np.sqrt(2.0 / np.prod(shape[1:])) * noise
    elif key.endswith("weight"):
        noise = 1 + 0.1 * noise
    elif key.endswith("running_var"):
        noise = 1 + 0.1 * np.abs(noise)
    else:
        noise = 0.1 * noise
    return noise.astype(np.float32)


def entries_of(backbone):
    return json.loads((FIXTURES / f"stm_cycle_{backbone}_state_dict.json").read_text())["entries"]


def published_state(backbone, factors=()):
    """The deterministic state dict, some entries multiplied by a factor."""
    state = {}
    for entry in entries_of(backbone):
        key = entry["key"]
        value = torch.from_numpy(np.asarray(deterministic_array(key, tuple(entry["shape"]), entry["dtype"])))
        state[key] = value * next((f for end, f in dict(factors).items() if key.endswith(end)), 1)
    return state


def build(backbone, factors=()):
    network = STMCycle(backbone=backbone)
    network.load_state_dict(from_published("stm_cycle", published_state(backbone, factors)))
    return as_asked(network.eval())


def frames_and_masks(expected):
    return torch.from_numpy(expected["frames"]), torch.from_numpy(expected["onehot"])[:, 1:3]
