"""Vectors of length 1: ``y = x/‖x‖``. The product of two of them is the cosine of the angle between them.

::

    y = x/s        s = max(‖x‖, ε)        ‖x‖² = Σ_i x_i²

The bound ε keeps a vector of zeros a vector of zeros, where 0/0 would be no number.

Backward, where ‖x‖ > ε: ``∂s/∂x_j = x_j/s = y_j``, so ``∂y_i/∂x_j = (δ_ij - y_i·y_j)/s`` and::

    dx_j = Σ_i dy_i·(δ_ij - y_i·y_j)/s = (dy_j - y_j·Σ_i dy_i·y_i)/s

What points along y falls out: a vector of length 1 cannot grow, it can only turn. Where s is ε, a constant, ``dx = dy/ε``.

Source: ``torch.nn.functional.normalize``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import total

EPSILON = 1e-12


class Cache(NamedTuple):
    y: Array  # (..., H)
    s: Array  # (..., 1)
    turns: Array  # (..., 1) bool: is it longer than ε?
    dtype: object


def forward(x: Array) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> y ``(..., H)``, each of length 1, or of 0 where x is zero."""
    wide = widen(x)
    length = total(wide * wide) ** 0.5
    turns = length.real > EPSILON
    s = get_xp(x).where(turns, length, EPSILON)
    y = wide / s
    return y.astype(x.dtype, copy=False), Cache(y, s, turns, x.dtype)


def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(..., H)`` -> dx ``(..., H)``."""
    y, s, turns, dtype = cache
    dx = (dy - y * (total(dy * y) * turns)) / s
    return dx.astype(dtype, copy=False)
