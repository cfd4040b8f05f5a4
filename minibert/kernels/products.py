"""Products of stacks of matrices through cuBLAS, without copying what is only laid out differently.

cuBLAS takes matrices whose rows or columns are contiguous, and walks from one matrix of a stack to the next by one stride. Heads
that lie side by side within the rows of a token are such matrices, read where they are; B·A of them have two strides, so a stack
is cut along its shorter axis and each part is one call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.backend import Array, get_xp
from minibert.numerics import products as readable

TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}  # CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF
COMPUTE_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 68, 77, -1

_ONE, _ZERO = np.array(1, np.float32), np.array(0, np.float32)  # cuBLAS reads α and β through pointers
_tf32 = False


def allow_tf32(xp: Any, allow: bool) -> None:
    """Whether float32 products may round their factors to TF32, 10 bits behind the point: for the whole process.

    ``@`` of two matrices follows, ``@`` of stacks of them does not.
    """
    global _tf32
    _tf32 = allow
    if getattr(xp, "__name__", "") == "cupy":  # its other switch, CUPY_TF32, is read once and then no more
        linear = xp._core._routines_linalg
        xp._core.set_compute_type(np.float32, linear.COMPUTE_TYPE_TF32 if allow else linear.COMPUTE_TYPE_DEFAULT)


def matmul(a: Array, b: Array) -> Array:
    """As ``numerics.products.matmul``: a ``(B, A, n, k)``, b ``(B, A, k, m)`` -> ``(B, A, n, m)``.

    Where the rows of b are heads side by side, so are those of the result: its axes can be put back in order without a copy.
    """
    if a.ndim != 4 or a.dtype != b.dtype or a.shape[:2] != b.shape[:2]:
        return readable.matmul.__wrapped__(a, b)
    xp = get_xp(a)
    batch, heads, n, k = a.shape
    m = b.shape[-1]
    item = a.dtype.itemsize
    if b.strides[3] == item and b.strides[1] < b.strides[2]:
        y = xp.empty((batch, n, heads, m), a.dtype).transpose(0, 2, 1, 3)
    else:
        y = xp.empty((batch, heads, n, m), a.dtype)
    if not a.size or not b.size:
        y.fill(0)
        return y
    (a, a_turned, a_rows), (b, b_turned, b_rows), y_rows = _matrix(a), _matrix(b), y.strides[2] // item
    kind, compute = TYPES[a.dtype.name], COMPUTE_32F_FAST_TF32 if _tf32 and item == 4 else COMPUTE_32F
    handle = xp.cuda.Device().cublas_handle
    gemm = xp.cuda.cublas.gemmStridedBatchedEx

    if all(x.strides[0] == heads * x.strides[1] for x in (a, b, y)):  # evenly spaced: one stack
        parts, length, along = 1, batch * heads, 1
    else:
        parts, length, along = (heads, batch, 0) if heads <= batch else (batch, heads, 1)
    for part in range(parts):
        at = [x.data.ptr + part * x.strides[1 - along] for x in (a, b, y)]
        # cuBLAS counts by columns, and so sees every matrix transposed: yᵀ = bᵀ·aᵀ
        gemm(handle, b_turned, a_turned, m, n, k, _ONE.ctypes.data, at[1], kind, b_rows, b.strides[along] // item,
             at[0], kind, a_rows, a.strides[along] // item, _ZERO.ctypes.data, at[2], kind, y_rows, y.strides[along] // item,
             length, compute, GEMM_DEFAULT)
    return y


def _matrix(x: Array) -> tuple[Array, int, int]:
    """A stack that cuBLAS can read, 1 if its columns are contiguous and 0 if its rows are, and how far apart the others lie."""
    item = x.dtype.itemsize
    rows, columns = x.shape[2:]
    if x.strides[3] == item and x.strides[2] >= columns * item:
        return x, 0, x.strides[2] // item
    if x.strides[2] == item and x.strides[3] >= rows * item:
        return x, 1, x.strides[3] // item
    return get_xp(x).ascontiguousarray(x), 0, columns
