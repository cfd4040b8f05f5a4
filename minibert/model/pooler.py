"""The pooler: one vector for the whole input, ``y = tanh(W·x[CLS] + b)``.

Attention has let [CLS] read every token, and next-sentence prediction trains it to keep what matters of the pair.

Backward: ``tanh' = 1 - tanh²``; only the first token receives a gradient. Source: reference ``modeling.py``, ``BertModel``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.layers import linear
from minibert.parameters import Tree


class Cache(NamedTuple):
    x: Array  # (B, T, H)
    dense: linear.Cache
    y: Array  # (B, H)


def forward(x: Array, p: Tree) -> tuple[Array, Cache]:
    """x ``(B, T, H)`` -> y ``(B, H)``. ``p``: dense, weight ``(H, H)`` and bias ``(H,)``."""
    u, dense_cache = linear.forward(x[:, 0], p["dense"])  # (B, T, H) -> (B, H)
    y = get_xp(x).tanh(u)
    return y, Cache(x, dense_cache, y)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, H)`` -> dx ``(B, T, H)``, zero but for the first token."""
    x, dense_cache, y = cache
    dx = get_xp(x).zeros_like(x)
    dx[:, 0] = linear.backward(dy * (1 - y * y), dense_cache, p["dense"], g["dense"])
    return dx
