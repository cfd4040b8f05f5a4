"""Products of matrices: of stacks of them, those of attention, of rows by a layer's weights, and the gradient of these.

A device can make the first without copying what is laid out differently. The second has three forms on a CPU: OpenBLAS wants many
rows on the left, and where a single sentence has few, W·xᵀ, turned around afterwards, takes 0.55 to 0.8 of the time of x·Wᵀ with
AVX-512 kernels, and as long with AVX2 ones. Before either it copies W into the order that its kernels read. A small product it
makes without, so a dozen rows are multiplied by 32 rows of W at a time: again 0.45 to 0.85 of the time (AVX2: 0.7 to 1.3).

The gradient of a table of words is made and added a piece at a time: the same numbers without a second table, and sooner, as each
piece is still in the cache when it is added.
"""

from __future__ import annotations

import numpy as np

from minibert.backend import Array, widen
from minibert.kernels import twin

FEW, WIDE = 48, 256  # rows; and numbers in a row, of which narrower ones gain nothing
FEWER, SMALL, BLOCK = 12, 24_576, 32  # rows, and numbers in all of them, that are multiplied by so many rows of W at a time
LARGE, PIECE = 2**23, 2**18  # numbers of a gradient: more are made in pieces, which would cost smaller ones time


@twin
def matmul(a: Array, b: Array) -> Array:
    """a ``(…, n, k)``, b ``(…, k, m)`` -> a·b ``(…, n, m)``, one product for each of the leading indices.

    In float32 or wider, as CuPy has no such product in bfloat16.
    """
    return (widen(a) @ widen(b)).astype(a.dtype, copy=False)


def times_transposed(x: Array, w: Array) -> Array:
    """x ``(N, k)``, w ``(m, k)`` -> x·wᵀ ``(N, m)``."""
    (rows, inputs), outputs = x.shape, len(w)
    if not isinstance(x, np.ndarray) or not 1 < rows <= FEW or inputs < WIDE:
        return x @ w.T
    if rows > FEWER or x.size > SMALL or outputs % BLOCK:
        return np.ascontiguousarray((w @ x.T).T)
    blocks = x @ w.reshape(-1, BLOCK, inputs).transpose(0, 2, 1)  # (N, k)·(m/32, k, 32) -> (m/32, N, 32)
    return blocks.transpose(1, 0, 2).reshape(rows, outputs)


def add_transposed(total: Array, a: Array, b: Array) -> None:
    """total ``(m, k)`` += aᵀ·b, of a ``(N, m)`` and b ``(N, k)``."""
    if not isinstance(total, np.ndarray) or total.size <= LARGE:
        total += a.T @ b
        return
    step = max(1, PIECE // total.shape[1])
    for start in range(0, len(total), step):
        total[start:start + step] += a[:, start:start + step].T @ b
