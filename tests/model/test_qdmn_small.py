"""The light form of QDMN."""

import io

import pytest
import torch

from inference_core import InferenceCore
from model import build_network
from model.memory.read import MemoryReader, stack_entries
from model.qdmn_small import SmallQDMN
from model.weights.checkpoint import Checkpoint, load_network, load_weights, save_checkpoint

CPU = torch.device("cpu")
READER = MemoryReader(top_k=None)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SmallQDMN(backbone="resnet18").eval()


@pytest.fixture(scope="module")
def guided():
    torch.manual_seed(0)
    network = SmallQDMN(backbone="resnet18", guided=True).eval()
    torch.nn.init.normal_(network.whereabouts.weight, std=0.5)
    return network


def frame_and_masks(batch=1, objects=2):
    torch.manual_seed(1)
    return torch.randn(batch, 3, 64, 80), (torch.rand(batch, objects, 64, 80) > 0.5).float()


def test_its_half_precision_file_fits_into_25_megabytes():
    state = build_network("qdmn_small", backbone="resnet50_v1").state_dict()
    file = io.BytesIO()
    torch.save({name: value.half() if value.ndim > 1 else value for name, value in state.items()}, file)
    assert file.tell() < 25e6


@torch.no_grad()
def test_memorising_with_the_query_equals_memorising_alone(network):
    image, masks = frame_and_masks()
    query = network.encode_query(image, masks.amax(1, keepdim=True))
    for shared, alone in zip(
        network.encode_memory(image, masks, query), network.encode_memory(image, masks), strict=True
    ):
        torch.testing.assert_close(shared, alone)


@torch.no_grad()
def test_keys_have_one_length_and_do_not_depend_on_masks(network):
    image, masks = frame_and_masks()
    first, second = (network.encode_memory(image, m).key for m in (masks, 1 - masks))
    assert torch.equal(first, second)
    lengths = first.norm(dim=-1)
    torch.testing.assert_close(lengths, lengths.mean().expand_as(lengths))


@torch.no_grad()
def test_objects_are_told_apart_by_the_others_masks(network):
    image, masks = frame_and_masks()
    together = network.encode_memory(image, masks).value[:, :1]
    alone = network.encode_memory(image, masks[:, :1]).value
    assert not torch.allclose(together, alone)


@torch.no_grad()
def test_the_order_of_objects_does_not_matter(network):
    image, masks = frame_and_masks()
    query = network.encode_query(image, masks.amax(1, keepdim=True))
    logits, swapped = (
        network.segment(query, stack_entries([network.encode_memory(image, m)]), READER) for m in (masks, masks.flip(1))
    )
    torch.testing.assert_close(logits, swapped.flip(1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_batch_is_its_samples(network):
    image, masks = frame_and_masks(batch=2)
    prior = masks.amax(1, keepdim=True)

    def run(i):
        query = network.encode_query(image[i], prior[i])
        return network.segment(query, stack_entries([network.encode_memory(image[i], masks[i])]), READER)

    torch.testing.assert_close(run(slice(2)), torch.cat([run([0]), run([1])]), atol=1e-4, rtol=1e-4)


def test_every_parameter_takes_part():
    network = build_network("qdmn_small", backbone="resnet18", guided=True)
    image, masks = frame_and_masks(batch=2)
    query = network.encode_query(image, masks.amax(1, keepdim=True))
    entry = network.encode_memory(image, masks, query)
    (network.segment(query, stack_entries([entry]), READER, masks).square().sum() + entry.quality.sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_a_guided_network_looks_at_where_each_object_and_the_others_were(guided):
    image, masks = frame_and_masks(objects=3)
    query = guided.encode_query(image, masks.amax(1, keepdim=True))
    memory = stack_entries([guided.encode_memory(image, masks)])
    there = guided.segment(query, memory, READER, masks)
    moved = masks.clone()
    moved[:, 2] = masks[:, 2].roll(32, -1)
    elsewhere = guided.segment(query, memory, READER, moved)
    assert all(not torch.allclose(there[:, k], elsewhere[:, k], atol=1e-3) for k in range(3))
    swapped = guided.segment(query, memory, READER, masks[:, [1, 0, 2]])
    assert not torch.allclose(there[:, 0], swapped[:, 0], atol=1e-3)
    torch.testing.assert_close(there[:, 2], swapped[:, 2], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("roi", [False, True])
def test_objects_in_chunks_are_guided_as_together(guided, roi):
    image, masks = frame_and_masks(objects=3)
    frames = torch.randn(3, 3, 64, 80)
    results = []
    for chunk in (None, 1):
        core = InferenceCore(guided, object_chunk=chunk, decode_roi=roi)
        core.step(image[0], masks[0])
        results.append(torch.stack([core.step(frame) for frame in frames]))
    torch.testing.assert_close(*results, atol=1e-3, rtol=1e-3)


def test_a_network_without_guidance_begins_a_guided_one_that_does_the_same(network, tmp_path):
    save_checkpoint(tmp_path / "plain.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    guided = SmallQDMN(backbone="resnet18", guided=True).eval()
    load_weights(guided, tmp_path / "plain.pth")
    image, masks = frame_and_masks()
    with torch.no_grad():
        query = network.encode_query(image, masks.amax(1, keepdim=True))
        memory = stack_entries([network.encode_memory(image, masks)])
        plain, begun = (of.segment(query, memory, READER, masks) for of in (network, guided))
    torch.testing.assert_close(begun, plain)


def test_a_file_that_is_older_than_the_guidance_loads(network, tmp_path):
    options = {name: value for name, value in network.options.items() if name != "guided"}
    save_checkpoint(tmp_path / "old.pth", Checkpoint(network.arch, options, network.state_dict()))
    assert load_network(tmp_path / "old.pth", CPU).whereabouts is None


def test_half_precision_weights_load_into_full_precision(network, tmp_path):
    half = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "half.pth", Checkpoint(network.arch, network.options, half))
    loaded = load_network(tmp_path / "half.pth", CPU).state_dict()
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, atol=1e-3, rtol=1e-3)


def test_it_streams(network):
    image, masks = frame_and_masks()
    core = InferenceCore(network)
    core.step(image[0], masks[0])
    probabilities = core.step(image[0])
    assert probabilities.shape == (3, 64, 80)
    torch.testing.assert_close(probabilities.sum(0), torch.ones(64, 80))
    assert all(0 < quality < 1 for quality in core.report.quality)
