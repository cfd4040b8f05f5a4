"""Products of matrices: of stacks of them, those of attention, of rows by a layer's weights, and the gradient of these.

A device can make the first without copying what is laid out differently. The second has two forms on a CPU: OpenBLAS wants many
rows on the left, and where a single sentence has few, W·xᵀ, turned around afterwards, takes 0.55 to 0.8 of the time of x·Wᵀ with
AVX-512 kernels, and as long with AVX2 ones.

The gradient of a table of words is made and added a piece at a time: the same numbers without a second table, and sooner, as each
piece is still in the cache when it is added.
"""

from __future__ import annotations

import numpy as np

from minibert.backend import Array, widen
from minibert.kernels import twin

FEW, WIDE = 48, 256  # rows; and numbers in a row, of which narrower ones gain nothing
LARGE, PIECE = 2**23, 2**18  # numbers of a gradient: more are made in pieces, which would cost smaller ones time


@twin
def matmul(a: Array, b: Array) -> Array:
    """a ``(…, n, k)``, b ``(…, k, m)`` -> a·b ``(…, n, m)``, one product for each of the leading indices.

    In float32 or wider, as CuPy has no such product in bfloat16.
    """
    return (widen(a) @ widen(b)).astype(a.dtype, copy=False)


def times_transposed(x: Array, w: Array) -> Array:
    """x ``(N, k)``, w ``(m, k)`` -> x·wᵀ ``(N, m)``."""
    if isinstance(x, np.ndarray) and 1 < len(x) <= FEW and x.shape[1] >= WIDE:
        return np.ascontiguousarray((w @ x.T).T)
    return x @ w.T


def add_transposed(total: Array, a: Array, b: Array) -> None:
    """total ``(m, k)`` += aᵀ·b, of a ``(N, m)`` and b ``(N, k)``."""
    if not isinstance(total, np.ndarray) or total.size <= LARGE:
        total += a.T @ b
        return
    step = max(1, PIECE // total.shape[1])
    for start in range(0, len(total), step):
        total[start:start + step] += a[:, start:start + step].T @ b
