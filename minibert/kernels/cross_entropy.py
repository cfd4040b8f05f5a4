"""Cross-entropy over the vocabulary in place: the logits themselves are kept, and two numbers of each row.

The readable pair keeps exp(x - max), an array as large as the logits. The equations: ``cross_entropy.cu``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import contiguous, launch
from minibert.layers import cross_entropy as readable
from minibert.layers.cross_entropy import IGNORE


class Cache(NamedTuple):
    x: Array  # (..., V)
    labels: Array  # (...)
    lse: Array  # (N,) float32: log Σ_v exp x
    count: Array | float


def forward(x: Array, labels: Array, count: float | None = None, weights: Array | None = None) -> tuple[Array, Cache]:
    """As ``layers.cross_entropy.forward``, to which it leaves weights; a count that is not given stays on the device."""
    if weights is not None:
        return readable.forward.__wrapped__(x, labels, count, weights)
    xp = get_xp(x)
    (x,), (labels,) = contiguous(x), contiguous(labels.astype(np.int64, copy=False))
    rows, columns = labels.size, x.shape[-1]
    losses, lse = xp.empty(rows, "float32"), xp.empty(rows, "float32")
    if rows:
        launch(x, "cross_entropy", "cross_entropy_forward", (rows,), (_threads(columns),), x, labels, losses, lse, columns,
               IGNORE, shared=64, WIDTH=_width(x))
    count = xp.maximum((labels != IGNORE).sum(), 1).astype("float32") if count is None else count or 1
    return losses.sum() / count, Cache(x, labels, lse, count)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """As ``layers.cross_entropy.backward``."""
    x, labels, lse, count = cache
    xp = get_xp(x)
    dx = xp.empty_like(x)
    scale = dloss / count
    scale = scale.astype("float32") if hasattr(scale, "get") else xp.full((), float(scale), "float32")
    rows, columns = labels.size, x.shape[-1]
    if rows:
        launch(x, "cross_entropy", "cross_entropy_backward", (rows,), (_threads(columns),), x, labels, lse, scale, dx, columns,
               IGNORE, WIDTH=_width(x, dx))
    return dx


def _threads(columns: int) -> int:
    return 512 if columns > 4096 else 32 if columns <= 32 else 128


def _width(x: Array, *others: Array) -> int:
    """16 bytes, which the kernel finds the beginning of by itself, if that is the same place in all arrays."""
    return 16 // x.dtype.itemsize if all((a.data.ptr - x.data.ptr) % 16 == 0 for a in others) else 1
