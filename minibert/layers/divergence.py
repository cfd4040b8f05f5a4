"""The divergence of a student's distributions from a teacher's, such as where a head looks, in nats. Padding is left out.

::

    loss = 1/count · Σ_n real_n · Σ_i t_ni·(log t_ni - log x_ni)

Where the teacher has 0, nothing is asked of the student. What the student has rounded to 0 counts as ``LEAST``.

Backward: ``dx_ni = -dloss/count · real_n · t_ni/x_ni``. The teacher's distributions are data and have no gradient.
Source: Wang et al. 2020, "MiniLM", arXiv:2002.10957, equation 5.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen

LEAST = 1e-30  # a probability that float32 can still tell from 0


class Cache(NamedTuple):
    ratio: Array  # (..., n) real·t/x
    count: float
    dtype: object


def forward(x: Array, targets: tuple[Array, Array | None], count: float | None = None) -> tuple[Array, Cache]:
    """distributions x ``(..., n)`` -> loss ``()``. ``targets``: the teacher's ``(..., n)``; and ``real``, as in ``token_error``.

    ``count`` defaults to the number of real distributions.
    """
    xp, (y, real) = get_xp(x), targets
    wide = widen(x)
    t = y.astype(wide.real.dtype, copy=False)
    wide = xp.where(wide.real > LEAST, wide, LEAST)
    rows = t if real is None else t * real.astype(t.dtype)
    if count is None:
        count = (x.size if real is None else float(real.sum()) * x.size / real.size) / x.shape[-1]
    loss = (rows * (xp.log(xp.where(t > 0, t, 1)) - xp.log(wide))).sum() / (count or 1)
    return loss, Cache(rows / wide, count, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., n)``."""
    ratio, count, dtype = cache
    return (ratio * (-dloss / (count or 1))).astype(dtype, copy=False)
