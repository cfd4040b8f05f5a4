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
    difference: Array  # (...)
    count: int
    shape: tuple[int, ...]  # of x
    dtype: object


def count(targets: Array) -> int:
    """What targets add to the count: how many numbers there are."""
    return targets.size


def forward(x: Array, targets: Array, count: int | None = None) -> tuple[Array, Cache]:
    """x, targets ``(...)`` with as many numbers N -> loss ``()``. ``count`` defaults to N."""
    count = targets.size if count is None else count
    difference = widen(x).reshape(targets.shape) - targets.astype(x.real.dtype)
    return (difference * difference).sum() / (count or 1), Cache(difference, count, x.shape, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(...)``."""
    difference, count, shape, dtype = cache
    return (difference * (2 * dloss / (count or 1))).reshape(shape).astype(dtype, copy=False)
