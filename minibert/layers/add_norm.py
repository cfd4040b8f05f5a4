"""Add & norm: ``y = layernorm(residual + dropout(x))``, what closes each half of an encoder block.

A pair of its own because it is memory that costs here, not arithmetic: a device can do all of it in one pass.

Backward: the sum hands its gradient to both sides, and x gets it through its dropout mask.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.kernels import twin
from minibert.layers import dropout, layernorm
from minibert.layers.dropout import Key
from minibert.parameters import Tree


class Cache(NamedTuple):
    dropout: dropout.Cache
    norm: layernorm.Cache


@twin
def forward(x: Array, residual: Array, p: Tree, eps: float = 1e-12, rate: float = 0.0,
            key: Key | Array | None = None) -> tuple[Array, Cache]:
    """x and residual ``(..., H)`` -> y ``(..., H)``. ``p``: weight and bias of the layer norm, ``(H,)``."""
    x, dropout_cache = dropout.forward(x, rate, key)
    y, norm_cache = layernorm.forward(residual + x, p, eps)
    return y, Cache(dropout_cache, norm_cache)


@twin
def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> tuple[Array, Array]:
    """dy ``(..., H)`` -> dx, dresidual ``(..., H)``. The two are one array where nothing was dropped: do not write into them."""
    dresidual = layernorm.backward(dy, cache.norm, p, g)
    return dropout.backward(dresidual, cache.dropout), dresidual
