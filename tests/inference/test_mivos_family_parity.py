"""Mask-Propagation and STCN give the numbers of the published networks, alone and in whole runs of the cores."""

from dataclasses import replace

import pytest
import torch

from inference.correspondence import Correspondence
from inference_core import InferenceCore
from model.layers.decoder import soft_aggregate
from model.mask_propagation import MaskPropagation
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory.read import MemoryReader, stack_entries
from model.stcn import STCN
from published.qdmn import PublishedCoreYV
from tests.helpers.deterministic import clip_tensors, fill, fixture
from tests.helpers.parity import assert_close, assert_run, assert_same_masks

pytestmark = pytest.mark.slow

GRID = (6, 9)
NETWORKS = {"maskprop": MaskPropagation, "stcn": STCN}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    return fill(NETWORKS[name]())


@pytest.fixture(scope="module")
def expected(name):
    return fixture(f"{name}_eval")


@pytest.fixture(scope="module")
def clip():
    return clip_tensors(12, 96, 144)


def as_map(positions):
    """(...,n,C) -> (...,C,h,w)."""
    return positions.transpose(-1, -2).unflatten(-1, GRID)


def memory_of(network, rgb, masks, frames):
    """The published memory: aggregated true masks."""
    aggregated = soft_aggregate(masks).softmax(1)[:, 1:]
    return [network.encode_memory(rgb[t : t + 1], aggregated[t : t + 1]) for t in frames]


@pytest.mark.parametrize("form", ["so", "mo"])
@torch.no_grad()
def test_training_forward(name, expected, network, clip, form):
    objects = 1 if form == "so" else 2
    net = network if form == "mo" else fill(NETWORKS[name](multi_object=False))
    rgb, masks = clip[0], clip[1][:, :objects]
    entry = net.encode_memory(rgb[:1], masks[:1])
    if f"train_{form}_value0_sub" in expected:
        assert_close(as_map(entry.value[0])[:, ::8], expected[f"train_{form}_value0_sub"])
    query = net.encode_query(rgb[1:2], masks[:1, :1])
    reader = MemoryReader(top_k=None, similarity=net.similarity)
    logits = soft_aggregate(net.segment(query, stack_entries([entry]), reader).sigmoid())
    assert_close(logits[0, :, ::4, ::4], expected[f"train_{form}_logits1"], 2e-4)
    assert_close(logits.softmax(1)[0, 1:, ::4, ::4], expected[f"train_{form}_prob1"])


@torch.no_grad()
def test_memory_and_query_features(name, expected, network, clip):
    rgb, masks = clip
    (entry,) = memory_of(network, rgb, masks, [0])
    key = as_map(entry.key[0])
    assert_close(key if name == "maskprop" else key[:1], expected["mem0_key"])
    assert_close(as_map(entry.value[0])[:, ::8], expected["mem0_value_sub"])
    query = network.encode_query(rgb[3:4], masks[:1, :1])
    assert_close(query.key, expected["q3_key"])
    value = expected["q3_value_sub"] if name == "maskprop" else expected["q3_thin_sub"]
    assert_close(query.value[:, ::8], value)


READS = {
    "maskprop": {
        "top50": {},
        "full": {"top_k": None},
        "top50_km56": {"km_sigma": 5.6},
        "full_km56": {"top_k": None, "km_sigma": 5.6},
    },
    "stcn": {"read_top20": {"top_k": 20}, "read_top50": {"top_k": 50}},
}


@torch.no_grad()
def test_reads_and_masks(name, expected, network, clip):
    rgb, masks = clip
    memory = stack_entries(memory_of(network, rgb, masks, [0, 1, 2]))
    query = network.encode_query(rgb[3:4], masks[2:3].amax(1, keepdim=True))
    for setting, options in READS[name].items():
        reader = MemoryReader(similarity=network.similarity, **options)
        readout = network.read(query, memory, reader)
        key = f"{setting}_read_sub" if name == "maskprop" else f"{setting}_sub"
        assert_close(readout[0, :, ::8], expected[key])
        probability = network.segment(query, memory, reader).sigmoid()[0, :, None]
        reference = expected["prob" if name == "stcn" else f"{setting}_prob"]
        if name == "maskprop" or setting == "read_top20":
            step = probability.shape[-2] // reference.shape[-2]
            assert_close(probability[..., ::step, ::step], reference)


def run(core, rgb, annotations):
    """Probabilities (K+1,T,H,W), zeros before an object arrives."""
    frames = [core.step(image, *annotations.get(t, ())) for t, image in enumerate(rgb)]
    rows = len(frames[-1])
    return torch.stack([torch.cat([p, p.new_zeros(rows - len(p), *p.shape[1:])]) for p in frames], 1)


def run_davis(clip, frames, options):
    """Runs a network of a data type over the first frames."""
    memory = MemoryOptions(**{name: value for name, value in options.items() if name != "top_k"})
    top_k = options.get("top_k", "auto")
    return lambda net, dtype: run(
        InferenceCore(net, memory, top_k=top_k), clip[0][:frames].to(dtype), {0: (clip[1][0].to(dtype),)}
    )


def run_youtube(clip, mem_every, frames):
    """Runs a network of a data type and keeps some frames; the second object comes on frame 4."""
    rgb, masks = clip

    def segment(net, dtype):
        core = PublishedCoreYV(net, replace(YOUTUBE_MEMORY, policy="every", mem_every=mem_every), video_objects=2)
        annotations = {0: (masks[0, :1].to(dtype), [1]), 4: (masks[4, 1:].to(dtype), [2])}
        return run(core, rgb.to(dtype), annotations)[:, frames]

    return segment


def published(expected, case, frames):
    """Checks probabilities (K+1,T,H,W) of some frames of a run."""
    masks, probabilities = expected[f"{case}_masks"][frames], expected[f"{case}_prob_sub"][:, frames]
    return lambda ours: assert_same_masks(ours, masks, probabilities, limit=2e-4)


DAVIS_RUNS = {
    "maskprop": {
        "davis": (12, {"policy": "every", "mem_every": 2}),
        "davis_notop": (12, {"policy": "every", "mem_every": 2, "top_k": None}),
    },
    "stcn": {
        "davis": (12, {"policy": "every", "mem_every": 2}),
        "davis_last": (6, {"policy": "every", "mem_every": 3, "keep_previous": True}),
    },
}


def test_runs_of_the_davis_core(name, expected, network, clip):
    for case, (frames, options) in DAVIS_RUNS[name].items():
        assert_run(run_davis(clip, frames, options), network, published(expected, case, range(frames)))


@pytest.mark.parametrize(("wrong", "frames"), [({"top_k": -1}, 2), ({"mem_every": -1}, 4)])
def test_a_number_that_is_off_by_one_is_told_apart(name, expected, network, clip, wrong, frames):
    right = {"top_k": network.top_k, **DAVIS_RUNS[name]["davis"][1]}
    options = right | {option: right[option] + change for option, change in wrong.items()}
    with pytest.raises(AssertionError):
        assert_run(run_davis(clip, frames, options), network, published(expected, "davis", range(frames)))


YOUTUBE_RUNS = {
    "maskprop": {"yv": (4, list(range(12)))},
    "stcn": {"yv": (2, list(range(12))), "yv_req": (3, [0, 4, 5, 9])},
}


def test_runs_of_the_youtube_core(name, expected, network, clip):
    for case, (mem_every, frames) in YOUTUBE_RUNS[name].items():
        assert_run(run_youtube(clip, mem_every, frames), network, published(expected, case, frames))


def test_correspondences_of_mask_propagation(name, expected, network, clip):
    if name != "maskprop":
        pytest.skip("published for Mask-Propagation alone")
    rgb, _ = clip
    found = Correspondence(network, rgb[:1], rgb[1:2])
    assert_close(found.weights(), expected["corr_W"])
    delta = torch.zeros(1, 1, *GRID)
    delta[..., 2, 3] = 1
    assert_close(found.transfer(delta), expected["corr_delta_transfer"])
