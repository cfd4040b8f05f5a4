"""A table of whole numbers that many are looked up in at once: open addressing with linear probing, in NumPy.

A key's slot is the high bits of its product with an odd number (Knuth, "The Art of Computer Programming", vol. 3, 6.4); where
another key is, the next slot, and so on. At least three slots of four are empty, so the second look is rare and the third rarer.
"""

from __future__ import annotations

import numpy as np

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio
_EMPTY = -1


class Table:
    """``keys``: int64 (N,), none negative, none twice."""

    def __init__(self, keys: np.ndarray):
        self._bits = max(len(keys), 1).bit_length() + 2
        self._keys, self._places = np.full(1 << self._bits, _EMPTY, np.int64), np.full(1 << self._bits, -1)
        left, slots = np.arange(len(keys)), self._slots(keys)
        while len(left):
            free = self._keys[slots] == _EMPTY
            self._keys[slots[free]] = keys[left[free]]  # of several that want a slot one gets it
            settled = self._keys[slots] == keys[left]
            self._places[slots[settled]] = left[settled]
            left, slots = left[~settled], self._next(slots[~settled])

    def find(self, keys: np.ndarray) -> np.ndarray:
        """keys (M,) -> int64 (M,): where each stands among those of the table, -1 for one that does not."""
        slots = self._slots(keys)
        places = np.where(self._keys[slots] == keys, self._places[slots], -1)
        left = np.flatnonzero((places < 0) & (self._places[slots] >= 0))
        slots = slots[left]
        while len(left):
            slots = self._next(slots)
            same = self._keys[slots] == keys[left]
            places[left[same]] = self._places[slots[same]]
            on = ~same & (self._places[slots] >= 0)
            left, slots = left[on], slots[on]
        return places

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return (keys.view(np.uint64) * _FACTOR >> np.uint64(64 - self._bits)).view(np.int64)

    def _next(self, slots: np.ndarray) -> np.ndarray:
        return slots + 1 & (1 << self._bits) - 1
