"""Products of matrices: of stacks of them, those of attention, and of rows by a layer's weights.

A device can make the first without copying what is laid out differently. The second has two forms on a CPU: OpenBLAS wants many
rows on the left, and where a single sentence has few, W·xᵀ, turned around afterwards, takes 0.55 to 0.8 of the time of x·Wᵀ with
AVX-512 kernels, and as long with AVX2 ones.
"""

from __future__ import annotations

import numpy as np

from minibert.backend import Array, widen
from minibert.kernels import twin

FEW, WIDE = 48, 256  # rows; and numbers in a row, of which narrower ones gain nothing


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
