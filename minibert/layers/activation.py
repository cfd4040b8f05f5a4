"""Bias and activation, what stands between the two products of a feed-forward layer: which one, a configuration says by name.

The table ``FORMS`` is all there is to it. The choice travels in the cache, and ``backward`` obeys it.
"""

from __future__ import annotations

from types import MappingProxyType, ModuleType
from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import bias_gelu, bias_relu, bias_tanh
from minibert.parameters import Tree

#: What a configuration calls it -> the pair.
FORMS = MappingProxyType({"gelu": bias_gelu, "gelu_new": bias_gelu, "gelu_pytorch_tanh": bias_gelu, "relu": bias_relu,
                          "tanh": bias_tanh})


class Cache(NamedTuple):
    pair: ModuleType
    kept: NamedTuple  # its cache


def forward(x: Array, p: Tree, form: str = "gelu") -> tuple[Array, Cache]:
    """x ``(..., I)`` -> y ``(..., I)``. ``p``: bias ``(I,)``."""
    y, kept = FORMS[form].forward(x, p, form)
    return y, Cache(FORMS[form], kept)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., I)`` -> dx ``(..., I)``; adds to ``g["bias"]``."""
    return cache.pair.backward(dy, cache.kept, p, g)
