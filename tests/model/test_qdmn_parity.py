"""QDMN gives the numbers of the published network with the same weights."""

import pytest
import torch

from model.layers.decoder import soft_aggregate
from model.memory.read import Memory, MemoryReader, stack_entries
from model.qdmn import QDMN
from tests.helpers.deterministic import clip_tensors, fill, fixture
from tests.helpers.parity import assert_close

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return fill(QDMN(score_activation="relu"))


def spread(x):
    """The strided view under which training features are stored."""
    x = x[0] if x.ndim == 4 else x
    step = 4 if x.shape[-1] <= 24 else 16
    return x[:: max(1, x.shape[0] // 16)][:16, ..., ::step, ::step]


def as_map(positions, grid):
    """(n,C) -> (C,h,w)."""
    return positions.T.unflatten(1, grid)


def aggregated(masks):
    return soft_aggregate(masks).softmax(1)[:, 1:]


@pytest.mark.parametrize("form", ["so", "mo"])
@torch.no_grad()
def test_training_forward_equals_the_published_network(form, network):
    expected = {k[3:]: v for k, v in fixture("qdmn_network").items() if k.startswith(f"{form}_")}
    objects = 1 if form == "so" else 2
    net = network if form == "mo" else fill(QDMN(multi_object=False, score_activation="relu"))
    rgb, masks = clip_tensors(3, 384, 384)
    masks = masks[:, :objects]
    reader, grid = MemoryReader(top_k=None), (24, 24)

    first = net.encode_memory(rgb[:1], masks[:1])
    assert_close(spread(as_map(first.key[0, 0], grid)), expected["key0"])
    assert_close(spread(as_map(first.value[0, 0], grid)), expected["value0"])
    if form == "mo":
        assert_close(spread(as_map(first.key[0, 1], grid)), expected["key0_obj1"])
        assert_close(spread(as_map(first.value[0, 1], grid)), expected["value0_obj1"])

    prior = masks[:1].amax(1, keepdim=True)
    f4, f8, f16 = net.query_encoder(rgb[1:2])
    for name, feature in (("f4", f4), ("f8", f8), ("f16", f16)):
        assert_close(spread(feature), expected[name])
    assert_close(spread(net.prior_gate.logits(f16, prior)), expected["gate_logit"])

    query = net.encode_query(rgb[1:2], prior)
    memory = stack_entries([first])
    readout = net.read(query, memory, reader)
    features = torch.cat([readout[0, :1], query.value], 1)
    assert_close(spread(features), expected["read"])
    assert_close(spread(net.aspp(features)), expected["aspp"])

    selectors = [("", torch.ones(objects))] + ([("_selector10", torch.tensor([1.0, 0.0]))] if form == "mo" else [])
    for suffix, selector in selectors:
        logits = soft_aggregate(net.segment(query, memory, reader).sigmoid() * selector.view(1, -1, 1, 1))
        assert_close(logits[0, :, ::16, ::16], expected[f"logits1{suffix}"], 2e-4)
        assert_close(logits.softmax(1)[0, 1:, ::16, ::16], expected[f"prob1{suffix}"])
    predicted = aggregated(net.segment(query, memory, reader).sigmoid())
    second = net.encode_memory(rgb[1:2], predicted)
    query = net.encode_query(rgb[2:3], predicted.amax(1, keepdim=True))
    last = aggregated(net.segment(query, stack_entries([first, second]), reader).sigmoid())
    assert_close(last[0, :, ::16, ::16], expected["prob2"])
    assert_close(last.mean((0, 2, 3)), expected["prob2_mean"])
    third = net.encode_memory(rgb[2:3], last)
    scores = [entry.quality[0] for entry in (first, second, third)]
    assert_close(torch.cat(scores), expected["scores"])


@torch.no_grad()
def test_memory_frames_equal_the_published_network(network):
    expected = fixture("qdmn_eval")
    rgb, masks = clip_tensors(3, 96, 144)
    assert_close(soft_aggregate(masks[:1]).softmax(1)[0, :, None, ::8, ::8], expected["prob0_sub"], 1e-6)
    for t in range(3):
        entry = network.encode_memory(rgb[t : t + 1], aggregated(masks[t : t + 1]))
        key, value = (x[0].transpose(1, 2).unflatten(2, (6, 9)) for x in entry[:2])
        assert_close(key, expected[f"mem{t}_key"])
        assert_close(value[:, ::8], expected[f"mem{t}_value_sub"])
        assert_close(entry.quality.T, expected[f"mem{t}_score"])
    single = network.encode_memory(rgb[:1], aggregated(masks[:1, :1]))
    assert_close(single.key[0].transpose(1, 2).unflatten(2, (6, 9))[:, ::4], expected["mem0_single_key_sub"])
    assert_close(single.quality.T, expected["mem0_single_score"])


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("top50", MemoryReader(top_k=50)),
        ("full", MemoryReader(top_k=None)),
        ("top50_km56", MemoryReader(top_k=50, km_sigma=5.6)),
        ("full_km56", MemoryReader(top_k=None, km_sigma=5.6)),
    ],
)
@torch.no_grad()
def test_segmentation_equals_the_published_network(name, reader, network):
    expected = fixture("qdmn_eval")
    rgb, masks = clip_tensors(4, 96, 144)
    masks = aggregated(masks)
    memory = stack_entries([network.encode_memory(rgb[t : t + 1], masks[t : t + 1]) for t in range(3)])
    query = network.encode_query(rgb[3:], masks[2:3].amax(1, keepdim=True))
    assert_close(query.key, expected["q3_key"])
    assert_close(query.value[:, ::8], expected["q3_value_sub"])
    assert_close(query.f8[:, ::32, ::2, ::2], expected["q3_f8_sub"])
    assert_close(query.f4[:, ::32, ::4, ::4], expected["q3_f4_sub"])
    readout = network.read(query, memory, reader)
    assert_close(readout[0, :, ::8], expected[f"{name}_read_sub"])
    features = torch.cat([readout[0], query.value.expand(2, -1, -1, -1)], 1)
    assert_close(network.aspp(features)[:, ::32], expected[f"{name}_aspp_sub"])
    probabilities = network.segment(query, memory, reader).sigmoid()
    step = 1 if name == "top50" else 4
    assert_close(probabilities[0, :, None, ::step, ::step], expected[f"{name}_prob"])
    together = soft_aggregate(probabilities).softmax(1)
    assert_close(together[0, :, None, ::4, ::4], expected[f"{name}_aggregate"])


@pytest.mark.parametrize(
    ("name", "top_k", "km_sigma"),
    [("syn_full", None, None), ("syn_top10", 10, None), ("syn_full_km2", None, 2.0), ("syn_top10_km2", 10, 2.0)],
)
@pytest.mark.parametrize("max_elements", [1 << 24, 500])
def test_read_equals_the_published_one_in_chunks_of_any_size(name, top_k, km_sigma, max_elements):
    arrays = {k: torch.from_numpy(v) for k, v in fixture("qdmn_eval").items()}
    key, value = (arrays[k].flatten(2).transpose(1, 2).unsqueeze(1) for k in ("syn_mk", "syn_mv"))
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma, max_elements=max_elements)
    assert_close(reader(Memory(key, value), arrays["syn_qk"])[:, 0], arrays[name], 2e-6)


def test_aggregation_equals_the_published_one():
    arrays = fixture("qdmn_eval")
    together = soft_aggregate(torch.from_numpy(arrays["syn_agg_in"]).transpose(0, 1)).softmax(1)
    assert_close(together[0, :, None], arrays["syn_agg_bg"], 1e-6)
    assert_close(together[0, 1:, None], arrays["syn_agg"], 1e-6)
