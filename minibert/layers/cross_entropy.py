"""Cross-entropy of logits against labels, with ignored labels: the mean surprise, in nats.

::

    loss = 1/count · Σ_n -log softmax(x_n)[label_n]
         = 1/count · Σ_n (log Σ_v exp(x_nv - m_n) - (x_n,label - m_n))          m_n = max_v x_nv

over the rows n whose label is not ``IGNORE``. The count is the caller's: a batch cut into micro-batches divides every part by the
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
    shape: tuple[int, ...]  # of the logits
    dtype: object


def count(labels: Array, weights: Array | None = None) -> float:
    """What labels on the host add to the count: how many are not ignored, or the sum of their weights."""
    labels = labels[labels != IGNORE]
    return labels.size if weights is None else float(weights[labels].sum())


def correct(x: Array, labels: Array) -> Array:
    """Of how many labels the logits are the largest, ``()``."""
    return (widen(x).argmax(-1) == labels).sum()


@twin
def forward(x: Array, labels: Array, count: float | None = None, weights: Array | None = None) -> tuple[Array, Cache]:
    """logits x ``(..., V)``, labels ``(...)`` in [0, V) or IGNORE -> loss ``()``. N: the rows of x.

    ``weights`` ``(V,)``: what each label counts, by default 1. ``count`` defaults to the sum over the labels not ignored.
    """
    xp = get_xp(x)
    shape, labels = x.shape, labels.reshape(-1)
    keep = labels != IGNORE
    labels = xp.where(keep, labels, 0)
    counts = keep[:, None].astype(x.real.dtype)
    if weights is not None:
        counts *= weights.take(labels)[:, None]
    if count is None:
        count = int(keep.sum()) if weights is None else float(counts.sum())
    z = widen(x).reshape(-1, shape[-1])  # (..., V) -> (N, V)
    z = z - z.real.max(-1, keepdims=True)
    right = z[xp.arange(len(labels)), labels]  # (N,) before exp overwrites z
    exps = xp.exp(z, out=z)
    sums = total(exps)
    loss = ((xp.log(sums[:, 0]) - right) * counts[:, 0]).sum() / (count or 1)
    return loss, Cache(exps, sums, labels, counts, count, shape, x.dtype)


@twin
def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., V)``."""
    exps, sums, labels, counts, count, shape, dtype = cache
    xp = get_xp(exps)
    scale = counts * (dloss / (count or 1))  # (N, 1)
    dx = exps * (scale / sums)
    dx[xp.arange(len(labels)), labels] -= scale[:, 0]
    return dx.reshape(shape).astype(dtype, copy=False)
