"""Multi-head self-attention: every token asks all tokens, and takes a weighted mean of what they answer.

With D = H/A numbers per head, for each example and head::

    q = x·Wqᵀ + bq      k = x·Wkᵀ + bk      v = x·Wvᵀ + bv                       (T, D) each
    scores = q·kᵀ/√D + mask      P = dropout(softmax(scores))      w = head_mask·P      context = w·v

Why √D: q·k is a sum of D products; if each has variance 1, the sum has variance D, and a softmax over numbers that large is a
hard choice whose gradient vanishes. Why only keys are masked: a padded *query* only writes its own row, which nobody reads.

Backward, from the last line to the first::

    dw = dcontext·vᵀ             dv = wᵀ·dcontext                    a product gives two products
    dP = head_mask·dw            dhead_mask = Σ_{q,k} dw·P           (per head; summed over whatever the gate is shared by)
    dscores: through dropout and softmax
    dq = dscores·k/√D            dk = dscoresᵀ·q/√D
    dx = dq·Wq + dk·Wk + dv·Wv                                       x was read three times, so three gradients are added

Values may be made from something else than x, which dv·Wv is then the gradient of, and either may be wider or narrower than the
context (MobileBERT does so).

Of long texts nobody asks for the map as a rule: ``attention_in_blocks`` then makes it piece by piece and forgets it. A head mask
keeps it whole, one of ones too.

The gradient of ``key.bias`` is zero: bk adds the same number q·bk to a whole row of scores, and softmax does not see it.

Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2; reference ``modeling.py``, ``attention_layer``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import attention_in_blocks, attention_probs, linear
from minibert.layers.dropout import Key
from minibert.numerics.products import matmul
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    query: linear.Cache | None  # None, as the next three, where the weights were given from outside
    key: linear.Cache | None
    q: Array | None  # (B, A, T, D) already divided by √D
    k: Array | None  # (B, A, T, D)
    probs_cache: attention_probs.Cache | attention_in_blocks.Cache | None
    value: linear.Cache
    v: Array  # (B, A, T, D)
    probs: Array | None  # (B, A, T, T) before the head mask; None, as the next, where it was never whole
    weights: Array | None  # (B, A, T, T) after it
    head_mask: Array | None  # (A,) or (B, A)
    apart: bool  # were the values made from something else than x?


class Gradients(NamedTuple):
    dx: Array | None  # (B, T, H), None where nobody read x
    head_mask: Array | None  # of the head mask, in its shape
    override: Array | None  # of the probabilities given from outside, in their shape
    values: Array | None = None  # (B, T, H) of what the values were made from, where that was not x
    read: tuple[tuple[Array, Array], ...] | None = None  # of a block: what each output matrix reads (B, T, n), and its gradient


def shapes(size: int, inputs: int | None = None, values: int | None = None) -> Shapes:
    """Query, key and value. ``inputs``, ``values``: how wide x is, and what the values are made from, by default ``size``."""
    widths = {"query": inputs or size, "key": inputs or size, "value": values or inputs or size}
    return named({name: linear.shapes(size, width) for name, width in widths.items()})


def count(p: Tree, size: int) -> int:
    """How many heads of ``size`` numbers these matrices have."""
    return p["value"]["bias"].shape[0] // size


def forward(x: Array, p: Tree, heads: int, mask: Array | None = None, rate: float = 0.0, key: Key | None = None,
            head_mask: Array | None = None, override: Array | None = None, values: Array | None = None) -> tuple[tuple, Cache]:
    """x ``(B, T, H)`` -> context ``(B, T, H)`` and the weights ``(B, A, T, T)`` that multiply v; None of a long text, ungated.

    ``p``: query, key and value, each weight ``(H, H)`` and bias ``(H,)``. ``mask``: additive, ``(B, 1, 1 or T, T)``.
    ``head_mask`` ``(A,)`` or ``(B, A)``: 1 keeps a head, 0 switches it off. ``override`` ``(B, A, T, T)`` stands in for P:
    neither queries, keys nor dropout then play a part. ``values`` ``(B, T, H)``: what v is made from, by default x.
    """
    value, v_cache = linear.forward(x if values is None else values, p["value"])
    v = _split(value, heads)  # (B, T, H) -> (B, A, T, D)
    if override is None:
        query, q_cache = linear.forward(x, p["query"])
        keys, k_cache = linear.forward(x, p["key"])
        q, k = _split(query, heads), _split(keys, heads)
        q *= q.shape[-1] ** -0.5
        if head_mask is None and (rows := attention_in_blocks.rows_of(q.shape[2])) < q.shape[2]:
            context, inner = attention_in_blocks.forward(q, k, v, mask, rate, key, rows)
            return (_merge(context), None), Cache(q_cache, k_cache, q, k, inner, v_cache, v, None, None, None, values is not None)
        scores = matmul(q, k.transpose(0, 1, 3, 2))  # (B, A, T, D)·(B, A, D, T) -> (B, A, T, T)
        probs, p_cache = attention_probs.forward(scores, mask, rate, key)
    else:
        probs, q_cache, k_cache, q, k, p_cache = override, None, None, None, None, None
    weights = probs if head_mask is None else probs * head_mask[..., None, None]
    context = _merge(matmul(weights, v))  # (B, A, T, T)·(B, A, T, D) -> (B, A, T, D) -> (B, T, H)
    return (context, weights), Cache(q_cache, k_cache, q, k, p_cache, v_cache, v, probs, weights, head_mask, values is not None)


def backward(dcontext: Array, cache: Cache, p: Tree, g: Tree, dweights: Array | None = None) -> Gradients:
    """dcontext ``(B, T, H)`` and, where anyone asks, dweights ``(B, A, T, T)`` -> Gradients; adds to g of all three linears."""
    _, _, q, k, p_cache, v_cache, v, probs, weights, head_mask, apart = cache
    dcontext = _split(dcontext, v.shape[1])  # (B, T, H) -> (B, A, T, D)
    if weights is None:
        return _in_blocks(dcontext, cache, p, g, dweights)
    dw = matmul(dcontext, v.transpose(0, 1, 3, 2))
    if dweights is not None:
        dw += dweights
    dv = _merge(matmul(weights.transpose(0, 1, 3, 2), dcontext))
    dvalues = linear.backward(dv, v_cache, p["value"], g["value"])
    dhead_mask = None
    if head_mask is not None:
        dhead_mask = (dw * probs).sum((2, 3))  # (B, A)
        dhead_mask = dhead_mask if head_mask.ndim == 2 else dhead_mask.sum(0)
        dw *= head_mask[..., None, None]
    if p_cache is None:
        return Gradients(None, dhead_mask, dw, dvalues) if apart else Gradients(dvalues, dhead_mask, dw)

    dscores = attention_probs.backward(dw, p_cache)
    dq, dk = matmul(dscores, k), matmul(dscores.transpose(0, 1, 3, 2), q)
    return _of_x(dq, dk, dvalues, dhead_mask, cache, p, g)


def _in_blocks(dcontext: Array, cache: Cache, p: Tree, g: Tree, dweights: Array | None) -> Gradients:
    if dweights is not None:
        raise ValueError(f"attention of {cache.v.shape[2]:,} tokens was not kept, so it takes no gradient: give a head_mask, "
                         "if only of ones, and it is")
    dq, dk, dv = attention_in_blocks.backward(dcontext, cache.probs_cache)
    return _of_x(dq, dk, linear.backward(_merge(dv), cache.value, p["value"], g["value"]), None, cache, p, g)


def _of_x(dq: Array, dk: Array, dvalues: Array, dhead_mask: Array | None, cache: Cache, p: Tree, g: Tree) -> Gradients:
    dq *= cache.q.shape[-1] ** -0.5  # in dk it is already: it was in q
    dx = linear.backward(_merge(dq), cache.query, p["query"], g["query"])
    dx = dx if cache.apart else dx + dvalues
    dx += linear.backward(_merge(dk), cache.key, p["key"], g["key"])
    return Gradients(dx, dhead_mask, None, dvalues if cache.apart else None)


def _split(x: Array, heads: int) -> Array:
    batch, tokens, hidden = x.shape
    return x.reshape(batch, tokens, heads, hidden // heads).transpose(0, 2, 1, 3)  # (B, T, H) -> (B, A, T, D)


def _merge(x: Array) -> Array:
    batch, heads, tokens, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * size)  # (B, A, T, D) -> (B, T, H)
