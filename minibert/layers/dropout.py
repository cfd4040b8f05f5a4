"""Dropout: each number is kept with probability 1-rate and scaled by 1/(1-rate), or set to zero.

::

    y = x·m     m = keep/(1-rate), keep ∈ {0, 1}        dx = dy·m

The expected value of m is 1, so nothing changes at evaluation: pass no key. Source: Srivastava et al. 2014.

Randomness is a *key*, not a generator. A key names a place in the run; the same key gives the same mask, always. So a
forward pass can be replayed (recomputation, another thread count, a comparison of devices), and no state is saved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array, get_xp
from minibert.kernels import twin


class Key(NamedTuple):
    """Where a random number is drawn: immutable, and all there is to know about it."""

    seed: int
    step: int = 0
    micro_batch: int = 0
    site: int = 0  # the path of `at` calls from the whole model down to one dropout

    def at(self, place: int) -> Key:
        """The key of a part: place 0 to 1022 within the composite whose key this is."""
        return self._replace(site=self.site * 1024 + place + 1)


class Cache(NamedTuple):
    mask: Array | None  # (...) 0 or 1/(1-rate); None where nothing is dropped


@twin
def forward(x: Array, rate: float, key: Key | Array | None) -> tuple[Array, Cache]:
    """x ``(...)`` -> y ``(...)``. ``key``: where to draw the mask, or the mask itself, or None to drop nothing."""
    m = _mask(x, rate, key)
    return (x if m is None else x * m), Cache(m)


@twin
def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(...)`` -> dx ``(...)``."""
    (m,) = cache
    return dy if m is None else dy * m


def _mask(x: Array, rate: float, key: Key | Array | None) -> Array | None:
    if not isinstance(key, Key):
        return key
    return draw(key, x.shape, rate, get_xp(x), x.real.dtype) if rate else None


def draw(key: Key, shape: tuple[int, ...], rate: float, xp: Any = np, dtype: Any = np.float32) -> Array:
    """The mask of a key: one byte per number from Philox4x64-10, dropped where the byte is below 256·rate.

    The rate is thus a multiple of 1/256 (0.1 becomes 26/256), and the scale belongs to the rate that was drawn. Source of the
    generator: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    dropped = of_256(rate)
    size = int(np.prod(shape, dtype=np.int64))
    words = generator(key).integers(0, 2**64, size=-(-size // 8), dtype=np.uint64)
    keep = words.view(np.uint8)[:size] >= dropped
    mask = keep.reshape(shape).astype(dtype)
    mask *= 256 / (256 - dropped)
    return mask if xp is np else xp.asarray(mask)


def generator(key: Key) -> np.random.Generator:
    """Whatever else is drawn at a key, on the host."""
    return np.random.Generator(np.random.Philox(key=_words(key.seed, key.step), counter=_words(0, 0, key.micro_batch, key.site)))


def of_256(rate: float) -> int:
    """How many of 256 bytes drop their number at this rate; one keeps it at any rate."""
    return min(round(rate * 256), 255)


def _words(*values: int) -> np.ndarray:
    return np.array([value % 2**64 for value in values], dtype=np.uint64)
