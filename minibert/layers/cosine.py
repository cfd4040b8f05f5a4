"""The cosine of the angle between vectors, pair by pair: 1 where both point the same way, 0 where they have nothing in common.

::

    y = û·v̂        û = u/‖u‖        v̂ = v/‖v‖

Backward: ``dû = dy·v̂``, ``dv̂ = dy·û``, and through the lengths as in ``unit``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import unit
from minibert.numerics.rows import total


class Cache(NamedTuple):
    u: unit.Cache
    v: unit.Cache


def forward(u: Array, v: Array) -> tuple[Array, Cache]:
    """u and v ``(..., H)`` -> y ``(...)``."""
    a, u_cache = unit.forward(u)
    b, v_cache = unit.forward(v)
    return total(a * b)[..., 0].astype(u.dtype, copy=False), Cache(u_cache, v_cache)


def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """dy ``(...)`` -> du and dv ``(..., H)``."""
    u, v = cache
    dy = dy[..., None]
    return unit.backward(dy * v.y, u), unit.backward(dy * u.y, v)
