"""The mean of several guesses, as the logarithm of its probabilities; some of the guesses may be left out.

::

    y_c = log(1/K · Σ_k m_k·P_kc)        P_k = softmax(x_k)

    z_c = max over the k with m_k > 0 of log P_kc
    y_c = z_c + log(1/K · Σ_k m_k·exp(log P_kc - z_c))

The second form never takes the logarithm of a probability that has become 0: y stays finite where all guesses are sure of
something else.

Backward: ``dy_c`` is shared out among the guesses as they had part in it, ``dlog P_kc = dy_c·e_kc/Σ_j e_jc`` with
``e_kc = m_k·exp(log P_kc - z_c)``; then through the softmax, ``dx_kc = dlog P_kc - P_kc·Σ_i dlog P_ki``.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import total


class Cache(NamedTuple):
    probabilities: Array  # (K, B, C)
    shares: Array  # (K, B, C) e_kc/Σ_j e_jc
    dtype: object


def forward(x: Array, m: Array | None = None) -> tuple[Array, Cache]:
    """logits x ``(K, B, C)``, m ``(K, B)`` of which one at least is above 0, None: all are 1 -> y ``(B, C)``."""
    xp = get_xp(x)
    wide = widen(x)
    wide = wide - wide.real.max(-1, keepdims=True)
    logs = wide - xp.log(total(xp.exp(wide)))
    m = xp.ones((*x.shape[:2], 1), logs.real.dtype) if m is None else m[:, :, None]
    z = xp.where(m > 0, logs.real, -xp.inf).max(0)
    e = m * xp.exp(xp.where(m > 0, logs, z) - z)
    y = z + xp.log(e.sum(0)) - log(len(x))
    return y.astype(x.dtype, copy=False), Cache(xp.exp(logs), e / e.sum(0), x.dtype)


def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(B, C)`` -> dx ``(K, B, C)``. m is a constant."""
    probabilities, shares, dtype = cache
    dlogs = shares * dy
    return (dlogs - probabilities * total(dlogs)).astype(dtype, copy=False)
