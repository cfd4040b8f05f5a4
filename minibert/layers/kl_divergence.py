"""The Kullback-Leibler divergence of a softmax from given probabilities: how much is lost in nats by believing the logits.

::

    loss = 1/count · Σ_n KL(p_n ‖ softmax(x_n))       KL(p ‖ q) = Σ_v p_v·(log p_v - log q_v)       a term with p_v = 0 is 0

over rows of probabilities p; a row of zeros counts nothing. The count is the caller's, as in ``cross_entropy``.

Backward: ``∂/∂x_v log Σ exp(x) = q_v``, so ``dx_nv = dloss/count · (q_nv·Σ_u p_nu - p_nv)``. The probabilities are data.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen


class Cache(NamedTuple):
    dx: Array  # (..., V) for a dloss of 1
    dtype: object


def forward(x: Array, p: Array, count: float | None = None) -> tuple[Array, Cache]:
    """logits x ``(..., V)``, probabilities p ``(..., V)`` -> loss ``()``. ``count``: by default the rows that are not zero."""
    xp = get_xp(x)
    if count is None:
        count = int(p.any(-1).sum())
    z = widen(x)
    z, p = z - z.real.max(-1, keepdims=True), p.astype(z.real.dtype, copy=False)
    exps = xp.exp(z)
    sums = exps.sum(-1, keepdims=True)
    logs = xp.log(xp.where(p > 0, p, 1))
    loss = (p * (logs - z + xp.log(sums))).sum() / (count or 1)
    return loss, Cache((exps / sums * p.sum(-1, keepdims=True) - p) / (count or 1), x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., V)``."""
    return (dloss * cache.dx).astype(cache.dtype, copy=False)
