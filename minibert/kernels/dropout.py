"""Dropout with masks that are drawn on the device and never stored: the key is kept instead."""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import contiguous, drawing, launch, width
from minibert.layers import dropout as readable
from minibert.layers.dropout import Key

WARPS = 4  # a block


class Cache(NamedTuple):
    rate: float
    key: Key


def forward(x: Array, rate: float, key: Key | Array | None) -> tuple[Array, Cache | readable.Cache]:
    """As ``layers.dropout.forward``, to which it leaves a mask that is given, and to drop nothing."""
    if not isinstance(key, Key) or not rate:
        return readable.forward.__wrapped__(x, rate, key)
    return _drop(x, rate, key), Cache(rate, key)


def backward(dy: Array, cache: Cache) -> Array:
    """As ``layers.dropout.backward``."""
    return _drop(dy, *cache)


def _drop(x: Array, rate: float, key: Key) -> Array:
    (x,) = contiguous(x)
    y = get_xp(x).empty_like(x)
    if x.size:
        launch(x, "dropout", "dropout", (-(-x.size // (1024 * WARPS)),), (WARPS * 32,), x, y, x.size, *drawing(rate, key),
               WIDTH=width(x.size, x))
    return y
