"""The Kullback-Leibler divergence of a student's distributions from a teacher's, in nats: what is lost by believing the student.

::

    p = softmax(t/T)        q = softmax(x/T)        loss = T²/count · Σ_n real_n · Σ_v p_nv·(log p_nv - log q_nv)

A temperature T above 1 flattens both, so that the student also learns which wrong answers the teacher finds likelier than others.
Slopes shrink with 1/T² then, for which the T² before the sum makes up. Either may be given as probabilities instead, such as
where a head looks: that is p, or q, as it stands. A term with p = 0 is 0, and a q that was rounded to 0 counts as ``LEAST``. The
loss is a cross-entropy less the entropy of p, which has no slope. The count is the caller's, as in ``cross_entropy``.

Backward, for logits: ``∂/∂x_v (-Σ_w p_w·log q_w) = (q_v - p_v)/T``, so ``dx_nv = dloss·T/count · real_n·(q_nv - p_nv)``; for
probabilities: ``dx_nv = -dloss/count · real_n·p_nv/x_nv``. What the teacher says is data and has no gradient.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2, as in DistilBERT's
``distiller.py``; of attention: Wang et al. 2020, "MiniLM", arXiv:2002.10957, equation 5. ``torch.nn.KLDivLoss``, ``batchmean``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import total

LEAST = 1e-30  # a probability that float32 can still tell from 0


class Cache(NamedTuple):
    slope: Array  # (..., V) real·(q - p), or -real·p/q
    scale: float  # T/count
    dtype: object


def correct(x: Array, targets: Array) -> Array:
    """In how many rows student and teacher find the same one likeliest, ``()``."""
    return (widen(x).argmax(-1) == widen(targets).argmax(-1)).sum()


def forward(x: Array, targets: Array | tuple[Array, Array | None], count: float | None = None, temperature: float = 1.0,
            logits: str = "both") -> tuple[Array, Cache]:
    """x ``(..., V)`` -> loss ``()``. ``targets``: the teacher's ``(..., V)``; or a pair with ``real``, as in ``token_error``.

    ``logits``: which of the two are such, and no probabilities: ``both``, ``x`` or ``none``. Of given probabilities a row of
    zeros is not real. ``count`` defaults to the number of real rows.
    """
    xp = get_xp(x)
    t, real = targets if isinstance(targets, tuple) else (targets, None)
    wide = widen(x)
    t = t.astype(wide.real.dtype, copy=False)
    p, log_p = _softmax(t, temperature) if logits == "both" else (t, xp.log(xp.where(t > 0, t, 1)))
    if real is None and logits == "x":
        real = p.any(-1, keepdims=True)
    if logits == "none":
        q = xp.where(wide.real > LEAST, wide, LEAST)
        log_q = xp.log(q)
    else:
        q, log_q = _softmax(wide, temperature)
    if count is None:
        count = (x.size if real is None else float(real.sum()) * x.size / real.size) / x.shape[-1]
    if real is not None:
        real = real.astype(t.dtype)
        p = p * real
    loss = (p * (log_p - log_q)).sum() * (temperature**2 / (count or 1))
    slope = -p / q if logits == "none" else (q if real is None else q * real) - p
    return loss, Cache(slope, temperature / (count or 1), x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., V)``."""
    return (cache.slope * (dloss * cache.scale)).astype(cache.dtype, copy=False)


def _softmax(x: Array, temperature: float) -> tuple[Array, Array]:
    """The softmax of x/T along the last axis, and its logarithm."""
    xp, z = get_xp(x), x / temperature
    z -= z.real.max(-1, keepdims=True)
    y = xp.exp(z)
    sums = total(y)
    y /= sums
    z -= xp.log(sums)
    return y, z
