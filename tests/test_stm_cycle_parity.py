"""STM-Cycle gives the numbers of the published network."""

import json
import zlib

import numpy as np
import pytest
import torch

from model.aggregate import soft_aggregate
from model.memory_read import MemoryReader, stack_entries
from model.published import from_published
from model.stm_cycle import STMCycle
from tests.deterministic import FIXTURES, fixture

LIMIT = 2e-5
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


def published_state(backbone, factors=()):
    """The deterministic state dict, some entries multiplied by a factor."""
    entries = json.loads((FIXTURES / f"stm_cycle_{backbone}_state_dict.json").read_text())
    state = {}
    for entry in entries if isinstance(entries, list) else entries["entries"]:
        key, shape, dtype = (entry[k] for k in ("key", "shape", "dtype")) if isinstance(entry, dict) else entry
        value = torch.from_numpy(np.asarray(deterministic_array(key, tuple(shape), dtype)))
        state[key] = value * next((f for end, f in dict(factors).items() if key.endswith(end)), 1)
    return state


def build(backbone, factors=()):
    network = STMCycle(backbone=backbone)
    network.load_state_dict(from_published("stm_cycle", published_state(backbone, factors)))
    return network.eval()


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    return request.param


def assert_close(ours, reference):
    np.testing.assert_allclose(np.asarray(ours), reference, atol=LIMIT, rtol=0)


def frames_and_masks(expected):
    return torch.from_numpy(expected["frames"]), torch.from_numpy(expected["onehot"])[:, 1:3]


def check_network(network, inputs, expected, prefix=""):
    frames, masks = frames_and_masks(inputs)
    entries = [network.encode_memory(frames[t : t + 1], masks[t : t + 1]) for t in (0, 1)]
    query = network.encode_query(frames[2:3], masks[:1, :1])
    for t, entry in enumerate(entries):
        assert_close(entry.key[0], expected[f"{prefix}mem_key_frame{t}"])
        assert_close(entry.value[0], expected[f"{prefix}mem_value_frame{t}"])
    assert_close(query.key, expected[f"{prefix}query_key_frame2"])
    reader = MemoryReader(top_k=None)
    for count in (1, 2):
        memory = stack_entries(entries[:count])
        assert_close(network.read(query, memory, reader)[0], expected[f"{prefix}readout_mem{count}"])
        masks_of_frame = network.segment(query, memory, reader).sigmoid()
        assert_close(soft_aggregate(masks_of_frame), expected[f"{prefix}logits_mem{count}"][:, :3])
        probability = f"{prefix}prob_mem{count}"
        if probability in expected:
            assert_close(masks_of_frame[0], expected[probability])


@torch.no_grad()
def test_features_reads_and_logits(backbone):
    expected = fixture(f"stm_cycle_{backbone}")
    extra = fixture(f"stm_cycle_{backbone}_extra")
    check_network(build(backbone), expected, {**expected, **{k: extra[k] for k in ("prob_mem1", "prob_mem2")}})


@torch.no_grad()
def test_peaked_attention(backbone):
    extra = fixture(f"stm_cycle_{backbone}_extra")
    check_network(build(backbone, SHARP), fixture(f"stm_cycle_{backbone}"), extra, "sharp_")


@torch.no_grad()
def test_a_size_that_is_no_multiple_of_anything(backbone):
    frames, masks = frames_and_masks(fixture(f"stm_cycle_{backbone}"))
    network = build(backbone)
    frames, masks = frames[..., :61, :93], masks[..., :61, :93]
    entry = network.encode_memory(frames[:1], masks[:1])
    query = network.encode_query(frames[2:3], masks[:1, :1])
    logits = network.segment(query, stack_entries([entry]), MemoryReader(top_k=None))
    reference = fixture(f"stm_cycle_{backbone}_extra")["oddsize_logits_mem1"]
    assert_close(soft_aggregate(logits.sigmoid()), reference[:, :3])
