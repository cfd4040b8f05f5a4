"""Units: runs of tokens of an example, such as words, that are chosen together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

MOST = 20  # tokens of an example that the reference and ALBERT ask for, however long it is


def runs(begins: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each unit; begins ``(N,)`` bool: which of N tokens begin one. The first does in any case."""
    starts = np.flatnonzero(begins)
    starts = starts if len(starts) and starts[0] == 0 else np.append(0, starts)
    return [*zip(starts.tolist(), [*starts[1:].tolist(), len(begins)])] if len(begins) else []


def fitting(lengths: Sequence[int], order: Iterable[int], budget: int) -> list[int]:
    """Units in this order, each that still fits into a budget of tokens; one that does not is passed over."""
    chosen, left = [], budget
    for unit in order:
        if left <= 0:
            break
        if lengths[unit] <= left:
            chosen.append(unit)
            left -= lengths[unit]
    return chosen


def places(chosen: Iterable[tuple[int, int]]) -> np.ndarray:
    """The tokens of some units, in the order of the units."""
    return np.array([i for unit in chosen for i in range(*unit)], np.int64)


def budget_of(tokens: int, rate: float, most: int) -> int:
    """How many of an example's tokens are asked for, [CLS] and [SEP] counted, as the reference and ALBERT have it."""
    return min(most, max(1, round(tokens * rate)))
