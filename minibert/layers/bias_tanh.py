"""Bias and tanh: ``y = tanh(x + b)``, as a head with a hidden layer has it.

Backward: ``tanh' = 1 - tanh²``, told from y, and b is added to every row: ``db = Σ du``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics.rows import down
from minibert.parameters import Tree


class Cache(NamedTuple):
    y: Array  # (..., I)


def forward(x: Array, p: Tree, form: str = "tanh") -> tuple[Array, Cache]:
    """x ``(..., I)`` -> y ``(..., I)``. ``p``: bias ``(I,)``. ``form``: there is one; others of its kind have several."""
    y = get_xp(x).tanh(x + p["bias"])
    return y, Cache(y)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., I)`` -> dx ``(..., I)``; adds to ``g["bias"]``."""
    (y,) = cache
    dx = dy * (1 - y * y)
    if g:
        g["bias"] += down(dx.reshape(-1, dx.shape[-1]))
    return dx
