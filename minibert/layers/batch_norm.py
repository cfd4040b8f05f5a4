"""Batch normalisation: each number brought to mean 0 and variance 1 over all rows of a batch, then scaled and shifted.

::

    training       μ = mean(x)     σ² = mean((x-μ)²)       over the N rows that count, of all texts
    evaluation     μ, σ²           the running ones
    x̂ = (x-μ)·rstd        rstd = 1/√(σ²+ε)        y = γ·x̂ + β

γ is ``weight`` and β is ``bias``, both ``(C,)``. Padding does not count: such rows are normalised like the others, by a mean and
a variance that they have no part in. Layer normalisation looks along the numbers of one token; here tokens look at one another.

The running statistics are state, not parameters: no loss has a gradient for them. They move after each step, by a tenth of the
way to what the batch had::

    r ← r - RATE·(r - statistic of the batch)         of σ² the unbiased one, N/(N-1)·σ², as in PyTorch

which is a step down the slope of ½(r - statistic)². So ``backward`` puts that step where a gradient would stand. Gradients of
lanes are added up anyway; the engine then takes the mean over the batches of a step, and neither clips it nor asks the optimiser.
What learns nothing (``g`` is NOTHING) leaves them as they are.

Backward. As in ``layernorm``, but down the rows: x reaches x̂ directly, through rstd and through μ. Let ``dx̂ = γ·dy`` and sum over
all rows, those that do not count too; a row that does not count has only the direct path::

    dx = rstd·(dx̂ - m/N·Σdx̂ - m/N·x̂·Σdx̂·x̂)         m: 1 for a row that counts, else 0

In evaluation μ and σ² are constants, and ``dx = rstd·dx̂``.

Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithms 1 and 2 (arXiv 1502.03167).
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, widen
from minibert.numerics.rows import down
from minibert.parameters import Shapes, Tree

RATE = 0.1  # of the running statistics


class Cache(NamedTuple):
    xhat: Array  # (..., C)
    rstd: Array  # (C,)
    share: Array | float | None  # (..., 1) 1/N for a row that counts, else 0; None in evaluation
    statistics: tuple[Array, Array] | None  # (C,) mean and unbiased variance of the batch; None in evaluation


def shapes(size: int) -> Shapes:
    """γ, β and the running statistics."""
    return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (size,))


def forward(x: Array, p: Tree, mask: Array | None = None, eps: float = 1e-5, training: bool = True) -> tuple[Array, Cache]:
    """x ``(..., C)`` -> y ``(..., C)``. ``p``: weight, bias, running_mean, running_var, each ``(C,)``.

    ``mask`` ``(...)``: True for the rows that count, None where all do. Means run in float32 or wider.
    """
    wide, share, statistics = widen(x), None, None
    if training:
        count = x[..., 0].size if mask is None else mask.sum()
        share = 1 / count if mask is None else (mask / count)[..., None].astype(wide.real.dtype)
        mean = _down(wide * share)
        centred = wide - mean
        variance = _down(centred ** 2 * share)
        unbiased = variance * (count / (count - 1 + (count == 1)))  # of one row alone it is what it is: 0
        statistics = mean, unbiased.astype(mean.dtype, copy=False)
    else:
        centred, variance = wide - p["running_mean"], p["running_var"]
    rstd = (variance + eps) ** -0.5
    xhat = centred * rstd
    y = xhat * p["weight"]
    y += p["bias"]
    return y.astype(x.dtype, copy=False), Cache(xhat, rstd, share, statistics)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., C)`` -> dx ``(..., C)``; adds to ``g``, and to the running statistics' part of it the way that they go."""
    xhat, rstd, share, statistics = cache
    dbias, dweight = _down(dy), _down(dy * xhat)
    if g:
        g["weight"] += dweight
        g["bias"] += dbias
        for name, found in zip(("running_mean", "running_var"), statistics or ()):
            g[name] += RATE * (p[name] - found)
    dx = dy * p["weight"]
    if share is not None:
        dx -= share * (p["weight"] * dbias)
        dx -= share * xhat * (p["weight"] * dweight)
    dx *= rstd
    return dx.astype(dy.dtype, copy=False)


def _down(x: Array) -> Array:
    return down(x.reshape(-1, x.shape[-1]))  # (..., C) -> (C,)
