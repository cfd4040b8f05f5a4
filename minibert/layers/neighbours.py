"""Neighbours: every token's vector beside those of the tokens next to it, as one longer vector.

::

    y[b,t] = x[b,t+1] ‖ x[b,t] ‖ x[b,t-1]        for a window of 3; zeros stand beyond the first and the last place of the row

A linear layer over y is then a convolution along the text. Padding is a token like any other here.

Backward: each vector stood in up to three places, so their gradients are added: ``dx[b,t] = Σ_s dy_s[b,t-s]``, where dy_s is the
part of dy that x[b,t+s] went into.

Source: Sun et al. 2020, "MobileBERT", section 3.3; the order of its reference ``modeling.py``, ``BertModel``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minibert.backend import Array, get_xp


class Cache(NamedTuple):
    window: int


def forward(x: Array, window: int = 3) -> tuple[Array, Cache]:
    """x ``(B, T, E)`` -> y ``(B, T, window·E)``. ``window``: an odd number, 1 for the vector alone."""
    y = get_xp(x).zeros((*x.shape[:-1], window, x.shape[-1]), x.dtype)
    for place, here, there in _places(window):
        y[:, here, place] = x[:, there]
    return y.reshape(*x.shape[:-1], -1), Cache(window)


def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(B, T, window·E)`` -> dx ``(B, T, E)``."""
    dy = dy.reshape(*dy.shape[:-1], cache.window, -1)
    dx = get_xp(dy).zeros((*dy.shape[:2], dy.shape[-1]), dy.dtype)
    for place, here, there in _places(cache.window):
        dx[:, there] += dy[:, here, place]
    return dx


def _places(window: int) -> Iterator[tuple[int, slice, slice]]:
    """Each part of y, from the token after to the token before: its number, the tokens that have it, those it is from."""
    reach = window // 2
    for place, s in enumerate(range(reach, -reach - 1, -1)):
        yield place, slice(max(0, -s), -s if s > 0 else None), slice(max(0, s), s if s < 0 else None)
