"""Types of numbers that checkpoints are stored in. NumPy has all but bfloat16, which is widened by its bits."""

from __future__ import annotations

import numpy as np

BFLOAT16 = "bfloat16"


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def as_array(raw: np.ndarray | bytes, dtype: str, big_endian: bool = False) -> np.ndarray:
    """Raw bytes as a flat array: a view; but bfloat16, the upper half of a float32, is given its lower half, zeros."""
    stored = np.dtype("u2" if dtype == BFLOAT16 else dtype).newbyteorder(">" if big_endian else "<")
    x = np.frombuffer(raw, stored)
    return (x.astype(np.uint32) << 16).view(np.float32) if dtype == BFLOAT16 else x
