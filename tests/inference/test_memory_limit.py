"""How many objects at a time fit into the memory that there is."""

from dataclasses import replace

import pytest

from inference.chunks import FLOAT_BYTES, LEAST_PLANNED, MOST_PLANNED, READ_COPIES, needed_bytes, plan_chunks
from inference_core_yv import InferenceCoreYV
from model.memory.options import YOUTUBE_MEMORY
from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN
from tests.helpers.streams import clip, run, small_network
from tests.helpers.tensors_held import bytes_within

SIZE, OBJECTS, SLOTS = (480, 854), 5, 12


@pytest.fixture(scope="module", params=[QDMN, SmallQDMN])
def network(request):
    return request.param(backbone="resnet18")


def budgets(network):
    """Amounts of memory from too little to more than enough, in bytes."""
    fixed, each = needed_bytes(network, SIZE, OBJECTS, SLOTS)
    enough = fixed + OBJECTS * each + READ_COPIES * FLOAT_BYTES * MOST_PLANNED
    return [enough * i / 200 for i in range(300)]


def plans(network):
    return [plan_chunks(network, SIZE, OBJECTS, SLOTS, available) for available in budgets(network)]


def test_there_is_no_plan_for_too_little_memory(network):
    fixed, each = needed_bytes(network, SIZE, OBJECTS, SLOTS)
    least = fixed + each + READ_COPIES * FLOAT_BYTES * LEAST_PLANNED
    for available in (-1e9, 0, fixed, fixed + each, least - 1):
        assert plan_chunks(network, SIZE, OBJECTS, SLOTS, available) is None
    assert plan_chunks(network, SIZE, OBJECTS, SLOTS, least).objects == 1


def test_more_memory_never_means_smaller_chunks(network):
    found = [plan or (0, 0) for plan in plans(network)]
    assert found[0] == (0, 0)
    assert found == sorted(found)
    assert [objects for objects, _ in found] == sorted(objects for objects, _ in found)
    assert [elements for _, elements in found] == sorted(elements for _, elements in found)
    assert {objects for objects, _ in found} >= {0, 1, OBJECTS}


def test_chunks_are_within_bounds(network):
    for plan in filter(None, plans(network)):
        assert 1 <= plan.objects <= OBJECTS
        assert LEAST_PLANNED <= plan.elements <= MOST_PLANNED
        assert all(isinstance(number, int) for number in plan)
    assert plans(network)[-1].objects == OBJECTS
    assert plan_chunks(network, SIZE, OBJECTS, SLOTS, 1e15) == (OBJECTS, MOST_PLANNED)


def test_a_plan_stays_within_the_available_memory(network):
    fixed, each = needed_bytes(network, SIZE, OBJECTS, SLOTS)
    for available, plan in zip(budgets(network), plans(network), strict=True):
        if plan:
            assert fixed + plan.objects * each + READ_COPIES * FLOAT_BYTES * plan.elements <= available


def test_larger_frames_more_objects_and_more_slots_need_more(network):
    fixed, each = needed_bytes(network, SIZE, OBJECTS, SLOTS)
    larger, larger_each = needed_bytes(network, (SIZE[0] + 16, SIZE[1]), OBJECTS, SLOTS)
    assert larger > fixed and larger_each > each
    for objects, slots in ((OBJECTS + 1, SLOTS), (OBJECTS, SLOTS + 1)):
        more, same_each = needed_bytes(network, SIZE, objects, slots)
        assert more > fixed and same_each == each


def test_a_frame_needs_as_much_as_its_padded_size(network):
    assert needed_bytes(network, (470, 850), 1, 3) == needed_bytes(network, (480, 864), 1, 3)


def test_a_stream_holds_no_more_than_is_planned_for_frame_and_memory():
    network = small_network()
    frames, masks = clip(6, 3, 48, 64)
    core = InferenceCoreYV(network, replace(YOUTUBE_MEMORY, mem_every=1, capacity=2, quality_threshold=0.0))
    run(core, frames, {0: (masks[0, :2], [1, 2]), 2: (masks[2, 2:], [3])})
    fixed, _ = needed_bytes(network, (48, 64), 3, 2 + 2)
    assert 0 < bytes_within(core) <= fixed
