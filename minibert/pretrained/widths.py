"""Types of numbers that checkpoints are stored in, and the shapes that they come in.

NumPy has all of the types but bfloat16, which is widened by its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"
WIDE = {"float32", "float64", "int32", "int64", "bool"}  # in any other type numbers have few digits
MOST_DIMENSIONS = 8  # of a tensor


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def is_shape(sizes: Sequence[Any]) -> bool:
    """Can these be the sizes of a tensor? To be asked before anything is made of them: their product alone can take for ever."""
    return len(sizes) <= MOST_DIMENSIONS and all(type(n) is int and 0 <= n < 2**63 for n in sizes)


def as_array(raw: np.ndarray | bytes, dtype: str, big_endian: bool = False) -> np.ndarray:
    """Raw bytes as a flat array: a view; but bfloat16, the upper half of a float32, is given its lower half, zeros."""
    stored = np.dtype("u2" if dtype == BFLOAT16 else dtype).newbyteorder(">" if big_endian else "<")
    x = np.frombuffer(raw, stored)
    return (x.astype(np.uint32) << 16).view(np.float32) if dtype == BFLOAT16 else x
