"""The mean squared error of what a student has for each token against what a teacher has, padding left out.

::

    loss = 1/count · Σ_n real_n · Σ_i (x_ni - t_ni)²

Of hidden states i runs over H numbers, of attention over the T tokens that are looked at. The count is the caller's, as in
``cross_entropy``: with the number of real numbers the loss is their mean.

Backward: ``dx_ni = dloss/count · real_n · 2·(x_ni - t_ni)``. What the teacher has is data and has no gradient.
Source: Jiao et al. 2019, "TinyBERT", arXiv:1909.10351, equations 7 and 8, whose code counts padding as well.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, widen


class Cache(NamedTuple):
    difference: Array  # (..., n) zero where it is padding
    count: float
    dtype: object


def forward(x: Array, targets: tuple[Array, Array | None], count: float | None = None) -> tuple[Array, Cache]:
    """x ``(..., n)`` -> loss ``()``. ``targets``: the teacher's ``(..., n)``; and ``real``, 1 or 0, which it is multiplied by.

    ``real`` is None where all is real. ``count`` defaults to the number of real numbers.
    """
    y, real = targets
    wide = widen(x)
    difference = wide - y.astype(wide.real.dtype, copy=False)
    if real is not None:
        difference *= real.astype(difference.real.dtype)
    if count is None:
        count = x.size if real is None else float(real.sum()) * x.size / real.size
    return (difference * difference).sum() / (count or 1), Cache(difference, count, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., n)``."""
    difference, count, dtype = cache
    return (difference * (2 * dloss / (count or 1))).astype(dtype, copy=False)
