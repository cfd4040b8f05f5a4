"""The norm of a model: which one, a configuration says by name.

The table ``KINDS`` is all there is to it. The choice travels in the cache, and ``backward`` obeys it.
"""

from __future__ import annotations

from types import MappingProxyType, ModuleType
from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import layernorm, no_norm
from minibert.parameters import Tree

#: ``norm`` of a configuration -> the pair. Their tensors are those of ``layernorm``.
KINDS = MappingProxyType({"layer_norm": layernorm, "no_norm": no_norm})


class Cache(NamedTuple):
    pair: ModuleType
    kept: NamedTuple  # its cache


def forward(x: Array, p: Tree, kind: str = "layer_norm", eps: float = 1e-12) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> y ``(..., H)``. ``p``: weight γ ``(H,)``, bias β ``(H,)``."""
    y, kept = KINDS[kind].forward(x, p, eps)
    return y, Cache(KINDS[kind], kept)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., H)`` -> dx ``(..., H)``; adds to ``g["weight"]`` and ``g["bias"]``."""
    return cache.pair.backward(dy, cache.kept, p, g)
