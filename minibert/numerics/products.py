"""Products of stacks of matrices, those of attention. A device can make them without copying what is laid out differently."""

from __future__ import annotations

from minibert.backend import Array, widen
from minibert.kernels import twin


@twin
def matmul(a: Array, b: Array) -> Array:
    """a ``(…, n, k)``, b ``(…, k, m)`` -> a·b ``(…, n, m)``, one product for each of the leading indices.

    In float32 or wider, as CuPy has no such product in bfloat16.
    """
    return (widen(a) @ widen(b)).astype(a.dtype, copy=False)
