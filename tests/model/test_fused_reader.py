"""When a reader leaves the read to the kernels, and what it does when they fail."""

import warnings
from types import SimpleNamespace

import pytest
import torch

from model.memory import read as memory_read
from model.memory.fused_read import available
from model.memory.read import Memory, MemoryReader


def scene():
    generator = torch.Generator().manual_seed(0)
    memory = Memory(*(torch.randn(1, 1, 60, channels, generator=generator) for channels in (4, 3)))
    return memory, torch.randn(1, 4, 1, 2, generator=generator)


@pytest.fixture
def fused_calls(monkeypatch):
    """Lets readers on the CPU believe in the kernels; `answer` is what these return or raise."""
    calls = SimpleNamespace(count=0, answer=None)

    def read(key, value, query_key, **options):
        calls.count += 1
        if isinstance(calls.answer, Exception):
            raise calls.answer
        return calls.answer

    monkeypatch.setattr(memory_read, "available", lambda device: True)
    monkeypatch.setattr(memory_read, "fused_read", read)
    return calls


def test_the_reader_takes_what_the_kernels_make(fused_calls):
    fused_calls.answer = torch.ones(1)
    assert MemoryReader()(*scene()) is fused_calls.answer


def test_the_reader_reads_itself_what_the_kernels_leave(fused_calls):
    memory, query = scene()
    torch.testing.assert_close(MemoryReader()(memory, query), MemoryReader(fused=False)(memory, query))
    assert fused_calls.count == 1


def test_broken_kernels_are_reported_once_and_done_without(fused_calls):
    memory, query = scene()
    reader, expected = MemoryReader(), MemoryReader(fused=False)(memory, query)
    fused_calls.answer = RuntimeError("no compiler found")
    with pytest.warns(RuntimeWarning, match="no compiler found"):
        torch.testing.assert_close(reader(memory, query), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        torch.testing.assert_close(reader(memory, query), expected)
    assert fused_calls.count == 1


def test_a_full_gpu_is_no_reason_to_give_the_kernels_up(fused_calls):
    fused_calls.answer = torch.OutOfMemoryError("full")
    reader = MemoryReader()
    with pytest.raises(torch.OutOfMemoryError):
        reader(*scene())
    assert reader.fused


@pytest.mark.parametrize("options", [{"fused": False}, {"km_sigma": 1.5}])
def test_kernels_are_left_alone_where_they_are_not_wanted(fused_calls, options):
    MemoryReader(**options)(*scene())
    assert fused_calls.count == 0


def test_gradients_come_from_the_portable_read(fused_calls):
    memory, query = scene()
    MemoryReader()(memory, query.requires_grad_()).sum().backward()
    assert query.grad.abs().sum() > 0
    assert fused_calls.count == 0
    fused_calls.answer = torch.ones(1)
    with torch.no_grad():
        assert MemoryReader()(memory, query) is fused_calls.answer


def test_there_are_no_kernels_on_the_cpu():
    assert not available(torch.device("cpu"))
