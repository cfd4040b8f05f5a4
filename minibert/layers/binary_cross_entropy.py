"""Cross-entropy of yes-or-no questions: of several labels each is there or not, whatever the others are. In nats.

::

    loss = 1/count · Σ_nc -log P(y_nc)                              P(1) = σ(x_nc)    P(0) = 1 - σ(x_nc) = σ(-x_nc)
         = 1/count · Σ_nc softplus(t_nc)                            t = -x where y = 1, x where y = 0

over the labels that are not ``IGNORE``: t says how far a logit lies on the wrong side. ``softplus(t) = log(1 + exp(t))`` is
written as ``max(t, 0) + log1p(exp(-|t|))``, which neither overflows nor loses a small loss beside the 1.

The count is the caller's, as in ``cross_entropy``; by default it is that of the labels. ``weights``, one number for each of the C
labels, says what a label counts where it is there (1 where it is not); the count is then the sum of all that count
(``torch.nn.BCEWithLogitsLoss(pos_weight=…)``, whose mean divides by the number of labels instead).

Backward: ``softplus'(t) = σ(t)``, so ``dx_nc = dloss/count · w_nc·(∂t/∂x)·σ(t_nc)`` with ``∂t/∂x = -1`` where y = 1, else 1: that
is σ(x) - y, without a difference of numbers that are nearly alike. Zero where the label is ignored.

There is no twin in CUDA: these are as many numbers as texts have labels, few beside a single layer's.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.layers.cross_entropy import IGNORE


class Cache(NamedTuple):
    wrong: Array  # (N, C) σ(t), the probability of what is not so
    slopes: Array  # (N, C) ∂t/∂x times what the label counts, 0 where it is ignored
    count: float
    dtype: object


def count(labels: Array, weights: Array | None = None) -> float:
    """What labels ``(N, C)`` count together: how many are not ignored, or the sum of their weights."""
    keep = labels != IGNORE
    return int(keep.sum()) if weights is None else float((get_xp(labels).where(labels == 1, weights, 1) * keep).sum())


def forward(x: Array, labels: Array, count: float | None = None, weights: Array | None = None) -> tuple[Array, Cache]:
    """logits x ``(N, C)``, labels ``(N, C)``: 1 or True, 0 or False, or IGNORE -> loss ``()``.

    ``weights`` ``(C,)``: what each label counts where it is there, else 1. ``count`` defaults to the sum over them.
    """
    xp = get_xp(x)
    z = widen(x)
    signs = xp.where(labels == 1, -1, 1).astype(z.real.dtype)
    counts = (labels != IGNORE).astype(z.real.dtype)
    if weights is not None:
        counts *= xp.where(labels == 1, weights, 1)
    if count is None:
        count = float(counts.sum())
    t = z * signs
    wrong_side = t.real > 0
    small = xp.exp(xp.where(wrong_side, -t, t))
    softplus = xp.where(wrong_side, t, 0) + xp.log1p(small)
    wrong = xp.where(wrong_side, 1, small) / (1 + small)
    return (softplus * counts).sum() / (count or 1), Cache(wrong, counts * signs, count, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(N, C)``."""
    wrong, slopes, count, dtype = cache
    return (wrong * slopes * (dloss / (count or 1))).astype(dtype, copy=False)
