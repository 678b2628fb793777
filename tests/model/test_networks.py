"""What training, inference and checkpoints rely on, for every network in the list."""

from functools import cache

import pytest
import torch

from model import NETWORKS, build_network
from model.layers.decoder import Window
from model.memory.read import MemoryReader, stack_entries
from tests.helpers.weight_files import smallest_network

HEIGHT, WIDTH = 48, 64
every_network = pytest.mark.parametrize("arch", NETWORKS)


@cache
def network_of(arch):
    return smallest_network(arch)


def images(count=1):
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def masks(count=1, objects=2):
    return torch.rand(count, objects, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))


def segment(network, **options):
    """Logits of a frame whose masks are in memory, the whole decoded or a window."""
    entry = network.encode_memory(images(), masks())
    query = network.encode_query(images(), masks(objects=1))
    reader = MemoryReader(top_k=network.top_k, similarity=network.similarity)
    return network.decode(query, network.read(query, stack_entries([entry]), reader), **options)


@every_network
def test_its_options_build_it_again(arch):
    network = network_of(arch)
    again = build_network(arch, **network.options)
    assert again.options == network.options
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert {name: value.shape for name, value in again.state_dict().items()} == shapes


@every_network
@torch.no_grad()
def test_the_memory_holds_as_many_numbers_as_it_says(arch):
    network = network_of(arch)
    entry = network.encode_memory(images(), masks())
    assert entry.value.shape[:3] == (1, 2, HEIGHT * WIDTH // 256)
    assert entry.key.shape[3] + entry.value.shape[3] == network.memory_channels
    assert (entry.quality is None) == (network.quality_scorer is None)


@every_network
@torch.no_grad()
def test_what_was_encoded_already_gives_the_same_query_and_memory(arch):
    network = network_of(arch)
    prior = masks(objects=1)
    query = network.encode_query(images(), prior)
    for ours, expected in zip(
        network.encode_query(images(), prior, network.encode_image(images())), query, strict=True
    ):
        assert ours == expected if isinstance(ours, tuple | None) else torch.equal(ours, expected)
    fresh, shared = (network.encode_memory(images(), masks(), q) for q in (None, query))
    for ours, expected in zip(shared[:2], fresh[:2], strict=True):
        torch.testing.assert_close(ours, expected)


@every_network
@torch.no_grad()
def test_objects_see_each_other_only_through_the_sum_of_the_others(arch):
    network = network_of(arch)
    together = network.encode_memory(images(), masks())
    apart = [network.encode_memory(images(), masks()[:, [k]], None, masks()[:, [1 - k]]) for k in (0, 1)]
    torch.testing.assert_close(torch.cat([entry.value for entry in apart], 1), together.value, atol=1e-5, rtol=1e-4)


@every_network
@torch.no_grad()
def test_a_window_of_the_whole_frame_changes_nothing_or_is_refused(arch):
    network = network_of(arch)
    whole = Window(0, 0, HEIGHT // 16, WIDTH // 16)
    if network.decodes_windows:
        torch.testing.assert_close(segment(network, window=whole), segment(network))
    else:
        with pytest.raises(ValueError, match="cannot decode a part of a frame"):
            segment(network, window=whole)
