"""Layer norm in one pass: add & norm with nothing to add."""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.kernels import add_norm
from minibert.parameters import Tree


class Cache(NamedTuple):
    norm: add_norm.Cache


def forward(x: Array, p: Tree, eps: float = 1e-12) -> tuple[Array, Cache]:
    """As ``layers.layernorm.forward``."""
    y, cache = add_norm.normalise(x, None, p, eps)
    return y, Cache(cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """As ``layers.layernorm.backward``."""
    dx, _ = add_norm.backward(dy, cache.norm, p, g)
    return dx
