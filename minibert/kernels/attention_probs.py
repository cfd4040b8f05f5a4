"""Attention probabilities in one pass: mask, softmax and dropout of a row without a step into memory.

The equations: ``attention_probs.cu``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import contiguous, drawing, launch, width
from minibert.layers import attention_probs as readable
from minibert.layers.dropout import Key

WARPS = 4  # a block


class Cache(NamedTuple):
    source: Array  # (B, A, T, T) the scores, or the probabilities themselves where nothing was dropped
    lse: Array | None  # (B·A·T,) float32: log Σ exp of each row; None where nothing was dropped
    mask: Array | None  # as it came
    rate: float
    key: Key | None


def forward(scores: Array, mask: Array | None = None, rate: float = 0.0, key: Key | Array | None = None) -> tuple[Array, Cache]:
    """As ``layers.attention_probs.forward``. A dropout mask given as an array is left to it."""
    if not isinstance(key, (Key, type(None))) or scores.ndim != 4:
        return readable.forward.__wrapped__(scores, mask, rate, key)
    xp = get_xp(scores)
    scores, mask = contiguous(scores, mask)
    probs = xp.empty_like(scores)
    rows = scores.size // max(scores.shape[-1], 1)
    lse = xp.empty(rows, "float32") if key is not None and rate else None
    _launch("forward", scores, mask, (scores,), (probs, lse), rate, key)
    return probs, Cache(probs if lse is None else scores, lse, None if lse is None else mask, rate, key)


def backward(dprobs: Array, cache: Cache) -> Array:
    """As ``layers.attention_probs.backward``."""
    source, lse, mask, rate, key = cache
    source, dprobs = contiguous(source, dprobs)
    dscores = get_xp(dprobs).empty_like(dprobs)
    _launch("backward", source, mask, (dprobs, source, lse), (dscores,), rate, key)
    return dscores


def _launch(direction: str, scores: Array, mask: Array | None, read: tuple, written: tuple, rate: float, key: Key | None) -> None:
    _, heads, queries, columns = scores.shape
    rows = scores.size // max(columns, 1)
    if not rows:
        return
    run = max(1, 1024 // columns)  # as many rows as one drawing of flags lasts
    wide = width(columns, read[0], scores, mask)
    steps = -(-columns // (32 * wide))
    launch(scores, "attention_probs", f"attention_probs_{direction}", (-(-rows // (WARPS * run)),), (WARPS * 32,), *read, mask,
           heads, queries, *_strides(mask), *written, rows, columns, run, *drawing(rate, key),
           WIDTH=wide, PIECES=1 << (steps - 1).bit_length())  # lengths come in all sizes: compile for powers of two only


def _strides(mask: Array | None) -> tuple[int, int, int]:
    """How many numbers apart a contiguous mask's examples, heads and queries are; 0 where they share."""
    if mask is None:
        return 0, 0, 0
    batch, heads, queries, keys = mask.shape
    query, head, example = keys, queries * keys, heads * queries * keys
    return example * (batch > 1), head * (heads > 1), query * (queries > 1)
