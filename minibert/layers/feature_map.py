"""How far a student's vectors are from a teacher's, taken apart: the direction from their mean, that mean, and their variance.

::

    μ = mean of x over its H numbers        v = mean of (x - μ)²        x̂ = (x - μ)/√(v + ε)        of t likewise

    loss = 1/count · Σ_n real_n·( normalised·mean (x̂_n - t̂_n)² + means·(μ_n - μ'_n)² + variances·|v_n - v'_n| )

x̂ is a layer norm without parameters. Vectors of different sizes can be compared so, of which a squared error would see little but
the size. Padding has ``real`` 0. The count is the caller's, as in ``cross_entropy``.

Backward: with s = dloss·real/count and ± the sign of v - v'::

    dx̂ = 2/H · normalised·s·(x̂ - t̂)
    dx = (dx̂ - mean dx̂ - x̂·mean(dx̂·x̂))/√(v + ε) + 2/H · s·(means·(μ - μ') ± variances·(x - μ))

The teacher's vectors are data and have no gradient. Source: Sun et al. 2020, "MobileBERT", arXiv:2004.02984, section 3.3 and its
code (``run_pretraining.py``), whose weights are the defaults. That code counts padding, and by a slip it compares the mean and
the variance of each layer of the student with those of all layers of the teacher; here each with its own.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import mean

EPSILON = 1e-12


class Cache(NamedTuple):
    slope: Array  # (..., H) for a dloss of 1
    dtype: object


def forward(x: Array, targets: tuple[Array, Array | None], count: float | None = None, normalised: float = 100.0,
            means: float = 5000.0, variances: float = 5.0) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> loss ``()``. ``targets``: the teacher's ``(..., H)``; and ``real`` ``(..., 1)``, None where all is real.

    ``count`` defaults to the number of real vectors.
    """
    y, real = targets
    wide = widen(x)
    (m, v, xhat), (of_teacher, its_v, yhat) = (_parts(z) for z in (wide, y.astype(wide.real.dtype, copy=False)))
    s = get_xp(x).ones(v.shape, v.real.dtype) if real is None else real.astype(v.real.dtype)  # (..., 1)
    s = s / ((float(s.sum()) if count is None else count) or 1)
    far, shift, wider = xhat - yhat, m - of_teacher, v - its_v
    sign = get_xp(x).where(wider.real < 0, -1.0, 1.0).astype(s.dtype)
    loss = (s * (normalised * mean(far * far) + means * shift * shift + variances * sign * wider)).sum()
    deviation = (v + EPSILON) ** 0.5
    d = normalised * far  # dx̂ but for 2/H and s
    d = (d - mean(d) - xhat * mean(d * xhat)) / deviation + means * shift + (variances * sign * deviation) * xhat
    return loss, Cache(s * (2 / x.shape[-1]) * d, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., H)``."""
    return (dloss * cache.slope).astype(cache.dtype, copy=False)


def _parts(x: Array) -> tuple[Array, Array, Array]:
    """Mean and variance of each vector ``(..., 1)``, and x̂ ``(..., H)``."""
    m = mean(x)
    xhat = x - m
    v = mean(xhat * xhat)
    xhat *= (v + EPSILON) ** -0.5
    return m, v, xhat
