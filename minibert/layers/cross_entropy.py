"""Cross-entropy of logits against labels, with ignored labels: the mean surprise, in nats.

::

    loss = 1/count · Σ_n -log softmax(x_n)[label_n]
         = 1/count · Σ_n (log Σ_v exp(x_nv - m_n) - (x_n,label - m_n))          m_n = max_v x_nv

over the rows whose label is not ``IGNORE``. The count is the caller's: a batch cut into micro-batches divides every part by the
count of the whole, so that the parts sum to the loss of the whole. A count of zero gives a loss and gradients of zero.

A label may weigh more than another (``weights``, one number for each class): row n then counts w[label_n] times, and the count
is the sum of these weights (``torch.nn.CrossEntropyLoss(weight=…)``).

Backward: ``∂/∂x_v log Σ exp(x) = softmax(x)_v``, so ``dx_nv = dloss/count · w_n·(softmax(x_n)_v - [v = label_n])``, and zero
in ignored rows.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.kernels import twin
from minibert.numerics.rows import total

IGNORE = -100  # no class has this number


class Cache(NamedTuple):
    exps: Array  # (N, V) exp(x - max)
    sums: Array  # (N, 1) Σ_v of it
    labels: Array  # (N,) with 0 in the place of ignored ones
    counts: Array  # (N, 1) what the row counts: 1 or its label's weight, 0 where it is ignored
    count: float
    dtype: object


@twin
def forward(x: Array, labels: Array, count: float | None = None, weights: Array | None = None) -> tuple[Array, Cache]:
    """logits x ``(N, V)``, labels ``(N,)`` in [0, V) or IGNORE -> loss ``()``.

    ``weights`` ``(V,)``: what each label counts, by default 1. ``count`` defaults to the sum over the labels not ignored.
    """
    xp = get_xp(x)
    keep = labels != IGNORE
    labels = xp.where(keep, labels, 0)
    counts = keep[:, None].astype(x.real.dtype)
    if weights is not None:
        counts *= weights.take(labels)[:, None]
    if count is None:
        count = int(keep.sum()) if weights is None else float(counts.sum())
    z = widen(x)
    z = z - z.real.max(-1, keepdims=True)
    right = z[xp.arange(len(labels)), labels]  # (N,) before exp overwrites z
    exps = xp.exp(z, out=z)
    sums = total(exps)
    loss = ((xp.log(sums[:, 0]) - right) * counts[:, 0]).sum() / (count or 1)
    return loss, Cache(exps, sums, labels, counts, count, x.dtype)


@twin
def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(N, V)``."""
    exps, sums, labels, counts, count, dtype = cache
    xp = get_xp(exps)
    scale = counts * (dloss / (count or 1))  # (N, 1)
    dx = exps * (scale / sums)
    dx[xp.arange(len(labels)), labels] -= scale[:, 0]
    return dx.astype(dtype, copy=False)
