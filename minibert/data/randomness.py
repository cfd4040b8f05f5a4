"""Randomness is a key: (seed, use, epoch, index) goes in, and the same key gives the same numbers, always.

There is no generator whose state would have to be saved: Philox is a function from a key and a counter to random bits
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Seed and use are its key; epoch and index sit in
the upper half of its counter, so that 2**128 numbers lie between one index and the next.
"""

from __future__ import annotations

import numpy as np

PAIRS, ORDER, MASKS, TASKS, HELD_OUT, SHUFFLES, NOISE = range(1, 8)  # what the numbers are for: no two uses share a stream


def philox(seed: int, use: int, epoch: int = 0, index: int = 0) -> np.random.Philox:
    """The bit generator at the start of the stream that this key names; every part is an integer in [0, 2**64).

    Raises ValueError for a seed outside that range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, got {seed}")
    return np.random.Philox(key=(seed, use), counter=(0, 0, index, epoch))


def generator(seed: int, use: int, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """``numpy.random.Generator`` over ``philox`` with the same key, for integers and permutations."""
    return np.random.Generator(philox(seed, use, epoch, index))
