"""The slots of a memory."""

import torch

from model.memory.bank import SlotBuffers
from model.memory.read import MemoryEntry, has_shared_keys


def entry(shared, objects=3):
    key = torch.randn(1, 1, 4, 2).expand(-1, objects, -1, -1) if shared else torch.randn(1, objects, 4, 2)
    return MemoryEntry(key, torch.randn(1, objects, 4, 5), None)


def test_shared_keys_are_kept_once_and_seen_by_all():
    buffers, entries = SlotBuffers(2), [entry(True) for _ in range(3)]
    for index, one in enumerate(entries):
        buffers.write(index, one)
    memory = buffers.view(3)
    assert has_shared_keys(memory.key)
    assert torch.equal(memory.key, torch.cat([one.key for one in entries], 2))
    assert torch.equal(memory.value, torch.cat([one.value for one in entries], 2))


def test_copies_of_shared_keys_may_follow():
    buffers, one = SlotBuffers(2), entry(True)
    buffers.write(0, one)
    buffers.write(1, one._replace(key=one.key.clone()))
    assert torch.equal(buffers.view(2).key[:, :, 4:], one.key)


def test_some_objects_go_their_own_way():
    for shared in (True, False):
        buffers, first, second = SlotBuffers(2), entry(shared), entry(shared, 1)
        buffers.write(0, first)
        chosen = buffers.select([1])
        chosen.write(0, second)
        assert torch.equal(buffers.view(1).key, first.key)
        assert torch.equal(chosen.view(1).key, second.key)
        assert torch.equal(chosen.view(1).value, second.value)


def test_room_is_made_when_it_is_needed():
    buffers, entries = SlotBuffers(10**9), [entry(True) for _ in range(70)]
    for index, one in enumerate(entries):
        buffers.write(index, one)
    assert torch.equal(buffers.view(70).value, torch.cat([one.value for one in entries], 2))
