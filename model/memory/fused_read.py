"""The memory read in Triton kernels, which never hold the affinities of all memory positions.

One kernel streams over tiles of the memory and keeps the best affinities of its query cells in registers; the memory
is cut into segments where there are too few cells to fill a GPU. The segments' finds are merged, and a second kernel
takes the softmax and gathers the values. Without top-k, one kernel keeps the softmax up to date while it streams.

The tiles are those of which the compiler spills next to nothing on compute capability 9.0 (H100, H200) for up to 128
channels: the search with 32 cells leaves room for three or four programs on a multiprocessor, so that one computes
while another waits for the memory; float32, whose exact products cannot use the tensor cores, takes 16 channels at a
time. What they gain has not been measured.
"""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MOST_KEPT = 64
MOST_CHANNELS = 256
CELLS = 32
POSITIONS = 64
VALUES = 128
PROGRAMS = 512
LEAST_SEGMENT = 1024


@cache
def available(device: torch.device) -> bool:
    """Whether kernels can run there: Triton is installed, and the device is a GPU that it supports."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def fused_read(key: Tensor, value: Tensor, query_key: Tensor, *, top_k: int | None, similarity: str) -> Tensor | None:
    """Softmax-weighted sum of memory values, as `MemoryReader` defines it; no gradient.

    Sums are in float32 whatever the inputs. Keys and values may have any strides; keys that all objects share
    (stride 0) are searched once. Working memory is of the order of query cells x top_k.

    Args:
        key: of the memory, (B,K,N,Ck), in float32, float16 or bfloat16.
        value: (B,K,N,Cv), in one of these types.
        query_key: (B,Ck,h,w), of the keys' type.
        top_k: how many of the largest affinities to keep; None keeps all.
        similarity: `dot` or `l2`.

    Returns:
        The readout (B,K,Cv,h,w) in the values' type, or None where the kernels do not go so far: other types,
        top_k > 64, Ck > 256.
    """
    positions, channels = key.shape[2:]
    kept = None if top_k is None or top_k >= positions else top_k
    if (kept is not None and kept > MOST_KEPT) or not 0 < channels <= MOST_CHANNELS:
        return None
    if key.dtype not in DTYPES or value.dtype not in DTYPES or query_key.dtype != key.dtype:
        return None
    query = query_key.flatten(2)
    with torch.cuda.device_of(query):
        if kept is None:
            readout = _read_all(key, value, query, similarity)
        else:
            found = _find_best(key[:, :1] if key.stride(1) == 0 else key, query, kept, similarity)
            readout = _gather(found.expand(-1, key.shape[1], -1, -1), value)
    return readout.transpose(2, 3).unflatten(3, query_key.shape[-2:])


def _find_best(key: Tensor, query: Tensor, top_k: int, similarity: str) -> Tensor:
    """Keys (B,K,N,Ck), query (B,Ck,n) -> entries (B,K,n,top_k) in no order, see `model.memory.fused_kernels`."""
    from model.memory import fused_kernels

    (batch, objects, positions, channels), queries = key.shape, query.shape[2]
    tiles, rows = -(-queries // CELLS), batch * objects
    segments = min(-(-PROGRAMS // (tiles * rows)), -(-positions // LEAST_SEGMENT))
    segment = _round_up(-(-positions // segments), POSITIONS)
    segments = -(-positions // segment)
    entries = torch.empty(batch, objects, queries, segments, top_k, dtype=torch.int64, device=key.device)
    fused_kernels.select[(tiles, segments, rows)](
        query, *query.stride(), key, *key.stride(), entries, objects, queries, positions, segment, channels**-0.5,
        top_k=top_k, slots=_power_of_two(top_k), channels=channels, l2=similarity == "l2",
        block_q=CELLS, block_n=POSITIONS, block_c=_channel_block(key), num_warps=4,
    )  # fmt: skip
    entries = entries.flatten(3)
    return entries if segments == 1 else entries.topk(top_k, sorted=False).values


def _gather(entries: Tensor, value: Tensor) -> Tensor:
    """Entries (B,K,n,top_k), values (B,K,N,Cv) -> (B,K,n,Cv)."""
    from model.memory import fused_kernels

    (batch, objects, queries, top_k), channels = entries.shape, value.shape[3]
    readout = value.new_empty(batch, objects, queries, channels)
    fused_kernels.gather[(queries, batch * objects)](
        entries, *entries.stride()[:3], value, *value.stride(), readout, objects, queries, channels,
        top_k=top_k, slots=_power_of_two(top_k), block_v=VALUES, num_warps=4,
    )  # fmt: skip
    return readout


def _read_all(key: Tensor, value: Tensor, query: Tensor, similarity: str) -> Tensor:
    """Keys (B,K,N,Ck), values (B,K,N,Cv), query (B,Ck,n) -> (B,K,n,Cv)."""
    from model.memory import fused_kernels

    (batch, objects, positions, channels), queries, values = key.shape, query.shape[2], value.shape[3]
    readout = value.new_empty(batch, objects, queries, values)
    exact = torch.float32 in (key.dtype, value.dtype)
    cells, tile = (CELLS, 32) if exact else (64, 64)
    fused_kernels.dense[(-(-queries // cells), -(-values // VALUES), batch * objects)](
        query, *query.stride(), key, *key.stride(), value, *value.stride(),
        readout, objects, queries, positions, values, channels**-0.5,
        channels=channels, l2=similarity == "l2", block_q=cells, block_n=tile, block_c=_channel_block(key),
        block_v=VALUES, num_warps=4, num_stages=2,
    )  # fmt: skip
    return readout


def _channel_block(key: Tensor) -> int:
    """Key channels that are multiplied at a time; a product takes 16 at least."""
    return 16 if key.dtype == torch.float32 else max(16, min(128, _power_of_two(key.shape[3])))


def _power_of_two(number: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
