"""How much of a text comes again, nearly the same, in bounded memory.

Lines are near-duplicates where they have the same words, whatever stands between them, in any order and whatever their numbers.
Each is known by a signature of 64 bits. Of the signatures only those are kept that are divisible by 2**k, and k grows whenever
these become too many: a sample of the distinct lines, and of each how often it came. While k is 0 the count is exact.
Source: adaptive sampling, by Wegman; Flajolet 1990, "On adaptive sampling", Computing 43.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROOM = 1 << 20  # distinct signatures in memory


def numbers_of(tokens: Sequence[str]) -> np.ndarray:
    """``(V,)`` uint64: what each token adds to the signature of a line; those without a letter nothing."""
    found = np.random.Philox(0).random_raw(len(tokens))
    return np.where([any(map(str.isalpha, token)) for token in tokens], found | np.uint64(1), np.uint64(0))


class Repeated:
    """Signatures of lines, counted."""

    def __init__(self, room: int = ROOM) -> None:
        self.room, self.level = room, 0
        self.kept, self.times = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._waiting: list[np.ndarray] = []

    def add(self, signatures: np.ndarray) -> None:
        """Those of some lines; 0 is one without words, which does not count."""
        self._waiting.append(self._sampled(signatures[signatures != 0]))
        if sum(map(len, self._waiting)) > self.room:
            self._merge()

    def share(self) -> float:
        """Which share of the lines are repetitions of others; 0 where there are none."""
        self._merge()
        return 1 - len(self.kept) / int(self.times.sum()) if len(self.kept) else 0.0

    def _merge(self) -> None:
        found = np.concatenate([self.kept, *self._waiting])
        times = np.concatenate([self.times, *(np.ones(len(some), np.int64) for some in self._waiting)])
        self._waiting.clear()
        self.kept, places = np.unique(found, return_inverse=True)
        self.times = np.zeros(len(self.kept), np.int64)
        np.add.at(self.times, places, times)
        while len(self.kept) > self.room:
            self.level += 1
            mine = _divisible(self.kept, self.level)
            self.kept, self.times = self.kept[mine], self.times[mine]

    def _sampled(self, signatures: np.ndarray) -> np.ndarray:
        return signatures[_divisible(signatures, self.level)]


def _divisible(signatures: np.ndarray, level: int) -> np.ndarray:
    return _mixed(signatures) & np.uint64((1 << level) - 1) == 0


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit of it depends on all of ``x``: a sum of odd numbers is odd or even by how many there are."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return x ^ (x >> np.uint64(33))
