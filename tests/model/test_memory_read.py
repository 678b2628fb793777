"""The memory read against its definition, in pieces of any size."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.memory.read import Memory, MemoryEntry, MemoryReader, stack_entries

BATCH, OBJECTS, FRAMES, GRID, KEY_DIM, VALUE_DIM = 2, 3, 4, (3, 5), 6, 7
CELLS = GRID[0] * GRID[1]
POSITIONS = FRAMES * CELLS
VARIANTS = [(None, None), (5, None), (None, 1.5), (5, 1.5), (1, None)]
every_variant = pytest.mark.parametrize(("top_k", "km_sigma"), VARIANTS)


def scene(seed=0, scale=2.0, dtype=torch.float64):
    """A memory and a query key whose affinities spread over several units."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)

    memory = Memory(draw(BATCH, OBJECTS, POSITIONS, KEY_DIM), draw(BATCH, OBJECTS, POSITIONS, VALUE_DIM))
    return memory, draw(BATCH, KEY_DIM, *GRID)


def affinities(key, query):
    """(N,C) and (C,h,w) -> (N,n)."""
    return key @ query.reshape(len(query), -1) / np.sqrt(key.shape[1])


def squared_grid_distance(flat_a, flat_b, width):
    rows, columns = flat_a // width - flat_b // width, flat_a % width - flat_b % width
    return rows**2 + columns**2


def read_one_object(key, value, query, top_k, km_sigma):
    """The definition, one query position at a time: key (N,C), value (N,V), query (C,h,w) -> (V,h,w)."""
    affinity = affinities(key, query)
    weights = np.exp(affinity - affinity.max(0))
    if km_sigma is not None:
        for i, favourite in enumerate(affinity.argmax(1)):
            distance = squared_grid_distance(np.arange(affinity.shape[1]), favourite, query.shape[2])
            weights[i] *= np.exp(-distance / (2 * km_sigma**2))
    if top_k is not None:
        for column in weights.T:
            column[np.argsort(column)[:-top_k]] = 0
    return (value.T @ (weights / weights.sum(0))).reshape(-1, *query.shape[1:])


def read_by_definition(memory, query, top_k, km_sigma):
    """Sample by sample and object by object."""
    key, value, query = (x.numpy() for x in (memory.key, memory.value, query))
    return np.stack(
        [
            np.stack([read_one_object(key[b, k], value[b, k], query[b], top_k, km_sigma) for k in range(key.shape[1])])
            for b in range(len(key))
        ]
    )


@every_variant
@pytest.mark.parametrize("seed", range(3))
def test_read_equals_its_definition(top_k, km_sigma, seed):
    memory, query = scene(seed)
    readout = MemoryReader(top_k=top_k, km_sigma=km_sigma)(memory, query)
    assert readout.shape == (BATCH, OBJECTS, VALUE_DIM, *GRID)
    np.testing.assert_allclose(readout, read_by_definition(memory, query, top_k, km_sigma), atol=1e-6)


@every_variant
@pytest.mark.parametrize("max_elements", [1, BATCH * OBJECTS * POSITIONS * 4, 1 << 24])
def test_read_is_the_same_in_chunks_of_any_size(top_k, km_sigma, max_elements):
    memory, query = scene()
    readout = MemoryReader(top_k=top_k, km_sigma=km_sigma, max_elements=max_elements)(memory, query)
    np.testing.assert_allclose(readout, read_by_definition(memory, query, top_k, km_sigma), atol=1e-6)


@pytest.mark.parametrize("km_sigma", [None, 1.5])
@pytest.mark.parametrize("top_k", [POSITIONS, POSITIONS + 1, 100 * POSITIONS])
def test_topk_read_equals_dense_read_when_k_covers_memory(top_k, km_sigma):
    memory, query = scene()
    dense = MemoryReader(top_k=None, km_sigma=km_sigma)(memory, query)
    torch.testing.assert_close(MemoryReader(top_k=top_k, km_sigma=km_sigma)(memory, query), dense)


def test_topk_read_comes_close_to_the_dense_read_only_as_k_grows():
    memory, query = scene()
    dense = MemoryReader(top_k=None)(memory, query)
    errors = [(MemoryReader(top_k=k)(memory, query) - dense).abs().max().item() for k in (1, 10, POSITIONS - 1)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0


@every_variant
def test_weights_sum_to_one(top_k, km_sigma):
    memory, query = scene()
    memory = Memory(memory.key, torch.full_like(memory.value, 3.0))
    readout = MemoryReader(top_k=top_k, km_sigma=km_sigma)(memory, query)
    torch.testing.assert_close(readout, torch.full_like(readout, 3.0), atol=1e-9, rtol=0)


@every_variant
def test_read_survives_affinities_far_beyond_the_range_of_exp(top_k, km_sigma):
    memory, query = scene(scale=60.0, dtype=torch.float32)
    assert affinities(memory.key[0, 0].numpy(), query[0].numpy()).max() > 1000
    assert MemoryReader(top_k=top_k, km_sigma=km_sigma)(memory, query).isfinite().all()


@every_variant
def test_samples_and_objects_are_read_independently(top_k, km_sigma):
    memory, query = scene()
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma)
    together = reader(memory, query)
    for b in range(BATCH):
        for k in range(OBJECTS):
            alone = Memory(*(x[b : b + 1, k : k + 1] for x in memory[:2]))
            torch.testing.assert_close(reader(alone, query[b : b + 1])[0, 0], together[b, k])


@every_variant
def test_the_order_of_memory_frames_does_not_matter(top_k, km_sigma):
    memory, query = scene()
    entries = [
        MemoryEntry(*(x[:, :, t * CELLS : (t + 1) * CELLS] for x in memory[:2]), quality=None) for t in range(FRAMES)
    ]
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma)
    torch.testing.assert_close(reader(stack_entries(entries[::-1]), query), reader(memory, query))


@every_variant
def test_a_view_of_larger_buffers_reads_like_a_copy(top_k, km_sigma):
    memory, query = scene()
    buffers = [torch.full((BATCH, OBJECTS, POSITIONS + 20, x.shape[-1]), torch.nan, dtype=x.dtype) for x in memory[:2]]
    for buffer, x in zip(buffers, memory[:2], strict=True):
        buffer[:, :, :POSITIONS] = x
    view = Memory(*(buffer[:, :, :POSITIONS] for buffer in buffers))
    assert not view.key.is_contiguous()
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma)
    torch.testing.assert_close(reader(view, query), reader(memory, query))


@every_variant
def test_gradients_are_right(top_k, km_sigma):
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 2, 8, 3), (2, 2, 8, 2), (2, 3, 2, 2))
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma, max_elements=70)
    assert torch.autograd.gradcheck(lambda key, value, query: reader(Memory(key, value), query), inputs)


@every_variant
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_to_its_precision(top_k, km_sigma, dtype):
    memory, query = scene(scale=0.5)
    exact = MemoryReader(top_k=top_k, km_sigma=km_sigma)(memory, query)
    half = MemoryReader(top_k=top_k, km_sigma=km_sigma)(Memory(*(x.to(dtype) for x in memory[:2])), query.to(dtype))
    assert half.dtype == dtype
    assert (half - exact).abs().mean() < 0.05


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any operation puts out."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = (x for x in tree_leaves(result) if isinstance(x, torch.Tensor))
        self.elements = max(self.elements, *(x.numel() for x in tensors), 0)
        return result


@every_variant
def test_all_affinities_never_exist_at_once(top_k, km_sigma):
    positions, height, width, limit = 2000, 10, 20, 30_000
    memory = Memory(torch.randn(1, 3, positions, 4), torch.randn(1, 3, positions, 4))
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma, max_elements=limit)
    with LargestTensor() as largest:
        reader(memory, torch.randn(1, 4, height, width))
    assert largest.elements <= max(limit, memory.key.numel()) < 3 * positions * height * width / 10


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": -3}, {"km_sigma": 0.0}, {"km_sigma": -1.0}])
def test_senseless_arguments_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MemoryReader(**options)


@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize(("top_k", "km_sigma"), [(None, None), (7, None), (7, 2.0)])
def test_keys_that_objects_share_are_read_once_with_the_same_result(similarity, top_k, km_sigma):
    torch.manual_seed(0)
    key, value, query = torch.randn(2, 1, 40, 8), torch.randn(2, 3, 40, 6), torch.randn(2, 8, 4, 5)
    reader = MemoryReader(top_k=top_k, km_sigma=km_sigma, similarity=similarity, max_elements=300)
    shared, copied = (reader(Memory(k, value), query) for k in (key.expand(-1, 3, -1, -1), key.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(shared, copied)
