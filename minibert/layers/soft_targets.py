"""A student's logits against a teacher's: the divergence of two softened softmaxes, in nats.

::

    p = softmax(t/T)        q = softmax(x/T)        loss = T²/count · Σ_n Σ_v p_nv·(log p_nv - log q_nv)

A temperature T above 1 flattens both, so that the student also learns which wrong answers the teacher finds likelier than others.
Slopes shrink with 1/T² then, for which the T² before the sum makes up. The count is the caller's, as in ``cross_entropy``.

Backward: ``∂/∂x_v (-Σ_w p_w·log q_w) = (q_v - p_v)/T``, so ``dx_nv = dloss·T/count·(q_nv - p_nv)``. The teacher's logits are data
and have no gradient.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2; as in DistilBERT's
``distiller.py``, ``KLDivLoss(reduction="batchmean")`` of the rows that count.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import total


class Cache(NamedTuple):
    difference: Array  # (N, V) q - p
    scale: float  # T/count
    shape: tuple[int, ...]  # of the logits
    dtype: object


def correct(x: Array, targets: Array) -> Array:
    """In how many rows student and teacher find the same one likeliest, ``()``."""
    return (widen(x).argmax(-1) == widen(targets).argmax(-1)).sum()


def forward(x: Array, targets: Array, count: float | None = None, temperature: float = 1.0) -> tuple[Array, Cache]:
    """logits x and targets ``(..., V)`` -> loss ``()``. ``count`` defaults to the number of rows N."""
    z = widen(x).reshape(-1, x.shape[-1])  # (..., V) -> (N, V)
    p, log_p = _softmax(targets.reshape(z.shape).astype(z.real.dtype, copy=False), temperature)
    q, log_q = _softmax(z, temperature)
    count = len(p) if count is None else count
    loss = (p * (log_p - log_q)).sum() * (temperature**2 / (count or 1))
    return loss, Cache(q - p, temperature / (count or 1), x.shape, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., V)``."""
    difference, scale, shape, dtype = cache
    return (difference * (dloss * scale)).reshape(shape).astype(dtype, copy=False)


def _softmax(x: Array, temperature: float) -> tuple[Array, Array]:
    """The softmax of x/T along the last axis, and its logarithm."""
    xp, z = get_xp(x), x / temperature
    z -= z.real.max(-1, keepdims=True)
    y = xp.exp(z)
    sums = total(y)
    y /= sums
    z -= xp.log(sums)
    return y, z
