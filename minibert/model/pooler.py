"""The pooler: one vector for the whole input, ``y = tanh(W·x[CLS] + b)``.

Attention has let [CLS] read every token, and next-sentence prediction trains it to keep what matters of the pair. Relatives of
BERT have ``relu`` in the place of tanh, or take x[CLS] as it is (``first``).

Backward: ``tanh' = 1 - tanh²`` and ``relu' = [relu > 0]``, both told from y; only the first token receives a gradient.
Source: reference ``modeling.py``, ``BertModel``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import linear
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    x: Array  # (B, T, H)
    kind: str
    dense: linear.Cache | None  # None where [CLS] is taken as it is
    y: Array  # (B, H)


def shapes(config: BertConfig) -> Shapes:
    """weight and bias, where it has a linear layer."""
    return named({"dense": linear.shapes(config.hidden_size, config.hidden_size)}) if config.pooler in ("tanh", "relu") else {}


def forward(x: Array, p: Tree, kind: str = "tanh") -> tuple[Array, Cache]:
    """x ``(B, T, H)`` -> y ``(B, H)``. ``p``: dense, weight ``(H, H)`` and bias ``(H,)``; ``kind`` as in the configuration."""
    if kind == "first":
        return x[:, 0], Cache(x, kind, None, x[:, 0])
    u, dense_cache = linear.forward(x[:, 0], p["dense"])  # (B, T, H) -> (B, H)
    y = get_xp(x).tanh(u) if kind == "tanh" else u * (u.real > 0)
    return y, Cache(x, kind, dense_cache, y)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, H)`` -> dx ``(B, T, H)``, zero but for the first token."""
    x, kind, dense_cache, y = cache
    dx = get_xp(x).zeros_like(x)
    if kind == "first":
        dx[:, 0] = dy
    else:
        du = dy * (1 - y * y if kind == "tanh" else y.real > 0)
        dx[:, 0] = linear.backward(du, dense_cache, p["dense"], g["dense"])
    return dx
