"""Bias and GELU: ``y = gelu(x + b)``, what stands between the two products of a feed-forward layer.

A pair of its own because it is memory that costs here, not arithmetic: a device can do all of it in one pass. The product before
it is a linear layer that leaves its bias out.

Backward: the sum hands its gradient to both sides, and b is added to every row: ``db = Σ du``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.kernels import twin
from minibert.layers import gelu
from minibert.numerics.rows import down
from minibert.parameters import Tree


class Cache(NamedTuple):
    gelu: gelu.Cache


@twin
def forward(x: Array, p: Tree, form: str = "gelu") -> tuple[Array, Cache]:
    """x ``(..., I)`` -> y ``(..., I)``. ``p``: bias ``(I,)``. ``form`` as in the configuration's ``hidden_act``."""
    y, cache = gelu.forward(x + p["bias"], form)
    return y, Cache(cache)


@twin
def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., I)`` -> dx ``(..., I)``; adds to ``g["bias"]``."""
    dx = gelu.backward(dy, cache.gelu)
    if g:
        g["bias"] += down(dx.reshape(-1, dx.shape[-1]))
    return dx
