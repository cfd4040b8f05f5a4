"""The absolute error of numbers, each with a weight: ``loss = Σ_n w_n·|x_n - t_n|``.

Weights that add up to one make it a mean; where a weight is 0 nothing counts, as in padding.

Backward: ``dx_n = dloss·w_n·sign(x_n - t_n)``, and 0 where both are equal. Targets and weights are data and have no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen


class Cache(NamedTuple):
    slope: Array  # (...) ±w, or 0
    dtype: object


def forward(x: Array, targets: Array, weights: Array) -> tuple[Array, Cache]:
    """x, targets, weights ``(...)`` of one shape -> loss ``()``."""
    xp = get_xp(x)
    difference = widen(x) - targets.astype(x.real.dtype)
    slope = weights.astype(x.real.dtype) * xp.sign(difference.real)
    return (difference * slope).sum(), Cache(slope, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(...)``."""
    slope, dtype = cache
    return (slope * dloss).astype(dtype, copy=False)
