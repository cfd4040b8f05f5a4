"""Attention of long texts, some queries at a time: the map of T × T numbers is never whole in memory.

::

    of a head, for a block of queries r:    P = dropout(softmax(q[r]·kᵀ + mask))    (R, T)        context[r] = P·v

A row of the map needs all keys and no other row. So a block is exact, and what is kept for backward is q, k and v: backward makes
each block's P again, from the same key, and goes on as in ``attention``::

    dw = dcontext[r]·vᵀ            dv += Pᵀ·dcontext[r]
    dscores: through dropout and softmax
    dq[r] = dscores·k              dk += dscoresᵀ·q[r]

Blocks of keys as well (Dao et al. 2022, "FlashAttention", arXiv 2205.14135) need a running maximum and sum for each row. They are
for a GPU's small fast memory; a processor's cache holds many rows of any text that is read at once, and none is needed here.
Source: Rabe and Staats 2021, "Self-attention does not need O(n²) memory" (arXiv 2112.05682).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.layers import attention_probs
from minibert.layers.dropout import Key
from minibert.numerics.products import matmul

LONG = 1024  # tokens from which on it pays: with fewer the map is no trouble, and made at once it is made faster
AT_ONCE = 2**19  # numbers of a block of the map: 2 MB
LEAST = 64  # rows of a block, without which the products would be slow


class Cache(NamedTuple):
    q: Array  # (B, A, T, D) already divided by √D
    k: Array  # (B, A, T, D)
    v: Array  # (B, A, T, D)
    mask: Array | None  # as it came
    rate: float
    key: Key | None
    rows: int


def rows_of(tokens: int) -> int:
    """How many queries are asked at a time: all of a text that is not long."""
    return tokens if tokens < LONG else block_of(tokens)


def block_of(tokens: int) -> int:
    """How many queries are asked at a time, in blocks."""
    return min(tokens, max(LEAST, AT_ONCE // tokens))


def forward(q: Array, k: Array, v: Array, mask: Array | None = None, rate: float = 0.0, key: Key | None = None,
            rows: int = LEAST) -> tuple[Array, Cache]:
    """q, already divided by √D, k and v ``(B, A, T, D)`` -> context ``(B, A, T, D)``.

    ``mask``: additive, ``(B, 1, 1 or T, T)``, or of one example for all. ``rows``: queries at a time.
    """
    cache = Cache(q, k, v, mask, rate, key, rows)
    context = get_xp(q).empty_like(v)
    for own, whole, probs, _ in _blocks(cache):
        context[own] = matmul(probs, v[whole])
    return context, cache


def backward(dcontext: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """dcontext ``(B, A, T, D)`` -> dq, dk, dv in the shapes of q, k and v."""
    q, k, v, *_ = cache
    xp = get_xp(q)
    dq, dk, dv = xp.empty_like(q), xp.zeros_like(k), xp.zeros_like(v)
    for own, whole, probs, probs_cache in _blocks(cache):
        dv[whole] += matmul(probs.swapaxes(2, 3), dcontext[own])
        dscores = attention_probs.backward(matmul(dcontext[own], v[whole].swapaxes(2, 3)), probs_cache)
        dq[own] = matmul(dscores, k[whole])
        dk[whole] += matmul(dscores.swapaxes(2, 3), q[own])
    return dq, dk, dv


def _blocks(cache: Cache) -> Iterator[tuple[tuple, tuple, Array, attention_probs.Cache]]:
    """Where a block's queries are, where their keys, its rows of the map ``(1, 1, R, T)``, and what backward needs of them."""
    q, k, _, mask, rate, key, rows = cache
    batch, heads, tokens, _ = q.shape
    for i, (b, a, start) in enumerate(product(range(batch), range(heads), range(0, tokens, rows))):
        block, whole = slice(start, start + rows), (slice(b, b + 1), slice(a, a + 1))
        hidden = mask if mask is None else mask[b:b + 1] if mask.shape[2] == 1 else mask[b:b + 1, :, block]
        place = key and key.at(i // 1000).at(i % 1000)
        own = (*whole, block)
        yield own, whole, *attention_probs.forward(matmul(q[own], k[whole].swapaxes(2, 3)), hidden, rate, place)
