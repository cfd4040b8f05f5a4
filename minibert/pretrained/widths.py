"""Types of numbers that checkpoints are stored in, and the shapes that they come in.

NumPy has all of the types but bfloat16, which is widened by its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import numpy as np

BFLOAT16 = "bfloat16"
WIDE = {"float32", "float64", "int32", "int64", "bool"}  # in any other type numbers have few digits
MOST_DIMENSIONS = 8  # of a tensor
PIECE = 1 << 20  # bytes that are read at once: they stay in the cache for whoever sums them up


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def is_shape(sizes: Sequence[Any]) -> bool:
    """Can these be the sizes of a tensor? To be asked before anything is made of them: their product alone can take for ever."""
    return len(sizes) <= MOST_DIMENSIONS and all(type(n) is int and 0 <= n < 2**63 for n in sizes)


def fill(out: np.ndarray, file: IO[bytes], dtype: str, big_endian: bool = False) -> bool:
    """Read ``out`` itself from where a file stands; False, and nothing is read, where its numbers do not lie so in the file.

    No second copy is made. ValueError where the file ends before.
    """
    if dtype == BFLOAT16 or not out.flags.c_contiguous or out.dtype != np.dtype(dtype).newbyteorder(">" if big_endian else "<"):
        return False
    raw, at = out.reshape(-1).view(np.uint8), 0
    while count := file.readinto(raw[at:at + PIECE]):
        at += count
    if at < len(raw):
        raise ValueError(f"{file.name}: the file was cut short: {len(raw) - at:,} bytes are missing; copy or download it again")
    return True


def as_array(raw: np.ndarray | bytes, dtype: str, big_endian: bool = False) -> np.ndarray:
    """Raw bytes as a flat array: a view; but bfloat16, the upper half of a float32, is given its lower half, zeros."""
    stored = np.dtype("u2" if dtype == BFLOAT16 else dtype).newbyteorder(">" if big_endian else "<")
    x = np.frombuffer(raw, stored)
    return (x.astype(np.uint32) << 16).view(np.float32) if dtype == BFLOAT16 else x
