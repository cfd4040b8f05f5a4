"""Byte pairs of many words at once: each round does the first join of every word, in NumPy.

The symbols of a word are a row, with the rank of each symbol's join with the next one beside it. A round finds the least rank of
every row and joins at all its places, of overlapping ones at every second, from the left. A symbol that is gone has no rank; the
others know the one before and the one behind. That goes on until no row has a join left.

Where all joins of a rank are done before any of a higher one, a round may do all of them. It is so if no join comes sooner in the
list than one that makes a part of it (``in_order``), as in every list that was learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from .hashing import Table

CELLS = 1 << 16  # symbols of a block
ROWS = 64  # fewer words are joined sooner one by one


class Merging:
    """``ranks``: (left, right) -> rank; ``joined``: rank -> symbol. Symbols are below 2**31."""

    def __init__(self, ranks: Mapping[tuple[int, int], int], joined: Sequence[int]):
        pairs = np.fromiter(chain.from_iterable(ranks), np.int64, 2 * len(ranks)).reshape(-1, 2)
        self._pairs, self._joined, self._never = Table(pairs[:, 0] << 32 | pairs[:, 1]), np.array(joined, np.int64), len(joined)
        self._of_pair = np.array([*ranks.values(), self._never], np.int32)
        last = np.full(max(pairs.max(initial=0), self._joined.max(initial=0)) + 1, -1)  # symbol -> the last rank that makes it
        np.maximum.at(last, self._joined, np.arange(len(joined)))
        self.in_order = bool((last[pairs].max(1, initial=-1) < self._of_pair[:-1]).all())

    def join(self, text: np.ndarray, lengths: np.ndarray) -> Iterator[list[int]]:
        """The symbols that remain of each word. ``text``: int64 (S,), those of all words; ``lengths``: int64 (W,), none 0."""
        width, nothing = int(lengths.max()), len(lengths) * int(lengths.max())
        cells = (np.arange(width) < lengths[:, None]).ravel()
        symbols = np.full(nothing + 1, -1)
        symbols[:-1][cells] = text
        places = np.arange(nothing + 1)
        behind, before = places + 1, places - 1
        behind[np.arange(len(lengths)) * width + lengths - 1] = nothing
        before[:-1:width] = behind[-1] = nothing
        alive = np.append(cells, False)
        ranks = np.full(nothing + 1, self._never, np.int32)
        ranks[:-1][cells] = self._ranks(symbols[:-1][cells], symbols[behind[:-1][cells]])
        rows = ranks[:-1].reshape(len(lengths), width)
        while True:
            least = rows.min(1)
            least[least == self._never] = -1
            at = np.flatnonzero(rows == least[:, None])
            if not len(at):
                break
            first = np.append(True, behind[at[:-1]] != at[1:])
            number = np.arange(len(at))
            at = at[(number - np.maximum.accumulate(np.where(first, number, 0))) % 2 == 0]
            gone = behind[at]
            symbols[at], ranks[gone], alive[gone] = self._joined[ranks[at]], self._never, False
            behind[at] = after = behind[gone]
            before[after] = at
            left = np.concatenate([before[at], at])
            ranks[left] = self._ranks(symbols[left], symbols[behind[left]])
        stops = alive[:-1].reshape(rows.shape).sum(1).cumsum().tolist()
        numbers = symbols[alive].tolist()
        yield from (numbers[start:stop] for start, stop in zip([0, *stops], stops))

    def _ranks(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self._of_pair[self._pairs.find(left << 32 | right & 0xFFFFFFFF)]
