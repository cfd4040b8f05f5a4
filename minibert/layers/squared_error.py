"""The mean squared error of numbers, for regression.

::

    loss = 1/count · Σ_n (x_n - t_n)²

The count is the caller's, as in ``cross_entropy``: a batch cut into micro-batches divides every part by the count of the whole.

Backward: ``dx_n = dloss/count · 2·(x_n - t_n)``. Targets are data and have no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, widen


class Cache(NamedTuple):
    difference: Array  # (N,) or (N, C)
    count: int
    dtype: object


def forward(x: Array, targets: Array, count: int | None = None) -> tuple[Array, Cache]:
    """x, targets ``(N,)``, or ``(N, C)`` -> loss ``()``. ``count`` defaults to how many numbers there are."""
    count = x.size if count is None else count
    difference = widen(x) - targets.astype(x.real.dtype)
    return (difference * difference).sum() / (count or 1), Cache(difference, count, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx, of the shape of x."""
    difference, count, dtype = cache
    return (difference * (2 * dloss / (count or 1))).astype(dtype, copy=False)
