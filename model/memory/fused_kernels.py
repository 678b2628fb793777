"""Triton kernels of the fused memory read. `model.memory.fused_read` launches them; importing this module needs Triton.

A kept affinity and its memory position travel as one int64, the entry: in the high half the float's bits, turned so
that integers order them as the floats, in the low half the position. Entries are therefore unique and sortable.
"""
# Triton reads annotations of kernels as types of its own.
# ruff: noqa: ANN001, ANN201
# mypy: allow-untyped-defs

import triton
import triton.language as tl

VARYING = ("objects", "queries", "positions")


@triton.jit
def _entry(affinity, position):
    bits = affinity.to(tl.int32, bitcast=True)
    return ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) << 32) | position.to(tl.int64)


@triton.jit
def _affinity_of(entry):
    bits = (entry >> 32).to(tl.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def _affinity(
    query, query_c, query_q, cell, queries,
    key, key_n, key_c, position, positions,
    scale, channels: tl.constexpr, l2: tl.constexpr, block_c: tl.constexpr,
):  # fmt: skip
    """Affinities of query cells with memory positions, a tile; -inf behind the last position."""
    product = tl.zeros((cell.shape[0], position.shape[0]), tl.float32)
    square = tl.zeros((position.shape[0],), tl.float32)
    for first in tl.static_range(0, channels, block_c):
        c = first + tl.arange(0, block_c)
        q = tl.load(
            query + cell[:, None] * query_q + c[None, :] * query_c,
            mask=(cell < queries)[:, None] & (c < channels)[None, :],
            other=0.0,
        )
        k = tl.load(
            key + position[None, :] * key_n + c[:, None] * key_c,
            mask=(position < positions)[None, :] & (c < channels)[:, None],
            other=0.0,
        )
        product = tl.dot(q, k, product, input_precision="ieee")
        if l2:
            square += tl.sum(k.to(tl.float32) * k.to(tl.float32), 0)
    if l2:
        product = 2 * product - square[None, :]
    return tl.where((position < positions)[None, :], product * scale, float("-inf"))


@triton.jit(do_not_specialize=VARYING)
def select(
    query, query_b, query_c, query_q,
    key, key_b, key_k, key_n, key_c,
    entries, objects, queries, positions, segment, scale,
    top_k: tl.constexpr, slots: tl.constexpr, channels: tl.constexpr, l2: tl.constexpr,
    block_q: tl.constexpr, block_n: tl.constexpr, block_c: tl.constexpr,
):  # fmt: skip
    """The top_k best entries of each query cell within one segment of the memory: (B*K, queries, segments, top_k)."""
    cell = tl.program_id(0) * block_q + tl.arange(0, block_q)
    row = tl.program_id(2).to(tl.int64)
    query += row // objects * query_b
    key += row // objects * key_b + row % objects * key_k
    slot = tl.arange(0, slots)
    column = tl.arange(0, block_n)
    # Empty slots are worse than any entry, those beyond top_k better than any. The first tile fills all empty slots.
    tl.static_assert(top_k <= block_n)
    empty = _entry(tl.full((slots,), float("-inf"), tl.float32), slot)
    best = tl.where(slot < top_k, empty, 0x7FFFFFFFFFFFFFFF)[None, :] + tl.zeros((block_q, 1), tl.int64)
    begin = tl.program_id(1) * segment
    end = tl.minimum(begin + segment, positions)
    key += begin.to(tl.int64) * key_n
    for start in range(begin, end, block_n):
        affinity = _affinity(
            query, query_c, query_q, cell, queries,
            key, key_n, key_c, column, end - start,
            scale, channels, l2, block_c,
        )  # fmt: skip
        key += block_n * key_n
        value, at = tl.max(affinity, 1, return_indices=True)
        worst = tl.min(best, 1)
        entry = _entry(value, start + at)
        while tl.max((entry > worst).to(tl.int32), 0) > 0:
            best = tl.where((entry > worst)[:, None] & (best == worst[:, None]), entry[:, None], best)
            affinity = tl.where(column[None, :] == at[:, None], float("-inf"), affinity)
            value, at = tl.max(affinity, 1, return_indices=True)
            worst = tl.min(best, 1)
            entry = _entry(value, start + at)
    out = entries + ((row * queries + cell) * tl.num_programs(1) + tl.program_id(1)) * top_k
    tl.store(out[:, None] + slot[None, :], best, mask=(cell < queries)[:, None] & (slot < top_k)[None, :])


@triton.jit(do_not_specialize=VARYING)
def gather(
    entries, entries_b, entries_k, entries_q,
    value, value_b, value_k, value_n, value_c,
    readout, objects, queries, channels,
    top_k: tl.constexpr, slots: tl.constexpr, block_v: tl.constexpr,
):  # fmt: skip
    """Softmax over the entries of one query cell, and the sum of the values so weighted: (B*K, queries, Cv)."""
    cell = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1).to(tl.int64)
    batch, item = row // objects, row % objects
    slot = tl.arange(0, slots)
    kept = slot < top_k
    entry = tl.load(entries + batch * entries_b + item * entries_k + cell * entries_q + slot, mask=kept, other=0)
    affinity = tl.where(kept, _affinity_of(entry), float("-inf"))
    weight = tl.exp(affinity - tl.max(affinity, 0))
    weight /= tl.sum(weight, 0)
    value += batch * value_b + item * value_k
    at = (entry & 0xFFFFFFFF) * value_n
    for first in range(0, channels, block_v):
        c = first + tl.arange(0, block_v)
        v = tl.load(value + at[:, None] + c[None, :] * value_c, mask=kept[:, None] & (c < channels)[None, :], other=0.0)
        out = readout + (row * queries + cell) * channels + c
        tl.store(out, tl.sum(weight[:, None] * v.to(tl.float32), 0), mask=c < channels)


@triton.jit(do_not_specialize=VARYING)
def dense(
    query, query_b, query_c, query_q,
    key, key_b, key_k, key_n, key_c,
    value, value_b, value_k, value_n, value_c,
    readout, objects, queries, positions, values, scale,
    channels: tl.constexpr, l2: tl.constexpr,
    block_q: tl.constexpr, block_n: tl.constexpr, block_c: tl.constexpr, block_v: tl.constexpr,
):  # fmt: skip
    """Softmax over all positions, kept up to date tile by tile, and the sum of the values: (B*K, queries, Cv)."""
    cell = tl.program_id(0) * block_q + tl.arange(0, block_q)
    row = tl.program_id(2).to(tl.int64)
    batch, item = row // objects, row % objects
    query += batch * query_b
    key += batch * key_b + item * key_k
    value += batch * value_b + item * value_k
    column = tl.arange(0, block_n)
    c = tl.program_id(1) * block_v + tl.arange(0, block_v)
    largest = tl.full((block_q,), float("-inf"), tl.float32)
    total = tl.zeros((block_q,), tl.float32)
    weighted = tl.zeros((block_q, block_v), tl.float32)
    for start in range(0, positions, block_n):
        affinity = _affinity(
            query, query_c, query_q, cell, queries,
            key, key_n, key_c, column, positions - start,
            scale, channels, l2, block_c,
        )  # fmt: skip
        v = tl.load(
            value + column[:, None] * value_n + c[None, :] * value_c,
            mask=(column < positions - start)[:, None] & (c < values)[None, :],
            other=0.0,
        )
        larger = tl.maximum(largest, tl.max(affinity, 1))
        weight = tl.exp(affinity - larger[:, None])
        shrink = tl.exp(largest - larger)
        total = total * shrink + tl.sum(weight, 1)
        weighted = tl.dot(weight.to(v.dtype), v, weighted * shrink[:, None], input_precision="ieee")
        largest = larger
        key += block_n * key_n
        value += block_n * value_n
    out = readout + (row * queries + cell)[:, None] * values + c[None, :]
    tl.store(out, weighted / total[:, None], mask=(cell < queries)[:, None] & (c < values)[None, :])
