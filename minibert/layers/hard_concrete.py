"""Hard concrete gates: numbers from 0 to 1 that are often exactly 0 or 1, and can be learned all the same.

::

    s = σ((ln u − ln(1 − u) + a)/T)         u: drawn evenly from 0 to 1, once for each gate;  T = 0.33
    g = clip(s·(hi − lo) + lo, 0, 1)        lo = −0.1, hi = 1.1: what would land outside becomes 0 or 1
    open = P(g > 0) = σ(a − T·ln(−lo/hi))   its sum is how many gates are open: a penalty with a slope
           P(g = 1) = σ(a − T·ln((1 − lo)/(hi − 1)))

Backward: ``da = dg·[0 < g < 1]·(hi − lo)·s·(1 − s)/T + dopen·open·(1 − open)``.

Without u, g is the gate that stands for all draws: s = σ(a), not divided by T. ``decided`` is 0 or 1 instead, whichever is the
likelier of the two.

Source: Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization", arXiv:1712.01312, section 2.3; the
constants and ``decided``: Voita et al. 2019, arXiv:1905.09418, footnote 7.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics.logistic import sigmoid

T, LO, HI = 0.33, -0.1, 1.1


class Cache(NamedTuple):
    slope: Array  # (...) ∂g/∂a
    opened: Array  # (...)


def forward(a: Array, u: Array | None = None) -> tuple[tuple[Array, Array], Cache]:
    """a ``(...)``, u ``(...)`` or None -> gates and P(gate > 0) ``(...)``."""
    xp = get_xp(a)
    s, rate = (sigmoid(a), 1.0) if u is None else (sigmoid((xp.log(u) - xp.log(1 - u) + a) / T), T)
    g = s * (HI - LO) + LO
    inside = (g.real > 0) & (g.real < 1)
    opened = sigmoid(a - T * log(-LO / HI))
    gates = xp.where(inside, g, (g.real >= 1).astype(g.dtype))
    return (gates, opened), Cache(inside * s * (1 - s) * ((HI - LO) / rate), opened)


def backward(dgates: Array, cache: Cache, dopen: Array | float = 0.0) -> Array:
    """dgates and, where anyone asks, dopen ``(...)`` -> da ``(...)``."""
    slope, opened = cache
    return dgates * slope + dopen * opened * (1 - opened)


def decided(a: Array) -> Array:
    """a ``(...)`` -> 0 or 1: is P(g = 1) above P(g = 0)? Since lo is as far below 0 as hi above 1, it is where a > 0."""
    return (a > 0).astype(a.dtype)
