"""Attentive pooling: one vector for a text, the sum of those of its tokens, weighted by how well each answers a query.

::

    a = softmax(x·q + mask)        y = Σ_t a_t·x_t

Backward: ``da_t = x_t·dy`` and, with ds from the softmax, ``dx_t = a_t·dy + ds_t·q`` and ``dq = Σ_t ds_t·x_t``.

Source: Liu et al. 2018, "Stochastic Answer Networks for Natural Language Inference", arXiv:1804.07888, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import softmax


class Cache(NamedTuple):
    x: Array  # (B, T, H)
    q: Array  # (B, H)
    a: Array  # (B, T)
    softmax: softmax.Cache


def forward(x: Array, q: Array, mask: Array | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)``, q ``(B, H)``, mask ``(B, T)`` to be added or None -> y ``(B, H)``."""
    a, softmax_cache = softmax.forward((x @ q[:, :, None])[:, :, 0], mask)
    return (a[:, None] @ x)[:, 0], Cache(x, q, a, softmax_cache)  # (B, 1, T)·(B, T, H) -> (B, H)


def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """dy ``(B, H)`` -> dx ``(B, T, H)``, dq ``(B, H)``."""
    x, q, a, softmax_cache = cache
    ds = softmax.backward((x @ dy[:, :, None])[:, :, 0], softmax_cache)
    return a[:, :, None] * dy[:, None] + ds[:, :, None] * q[:, None], (ds[:, None] @ x)[:, 0]
