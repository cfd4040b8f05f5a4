"""Attention probabilities: softmax over the keys that may be seen, then dropout. Scores ``(B, A, T, T)`` in, weights out.

A pair of its own because it is memory that costs here, not arithmetic: a device can do all of it in one pass.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.kernels import twin
from minibert.layers import dropout, softmax
from minibert.layers.dropout import Key


class Cache(NamedTuple):
    softmax: softmax.Cache
    dropout: dropout.Cache


@twin
def forward(scores: Array, mask: Array | None = None, rate: float = 0.0, key: Key | Array | None = None) -> tuple[Array, Cache]:
    """scores ``(B, A, T, T)``, additive mask ``(B, 1, 1 or T, T)`` or None -> probabilities ``(B, A, T, T)``."""
    probs, softmax_cache = softmax.forward(scores, mask)
    probs, dropout_cache = dropout.forward(probs, rate, key)
    return probs, Cache(softmax_cache, dropout_cache)


@twin
def backward(dprobs: Array, cache: Cache) -> Array:
    """dprobs ``(B, A, T, T)`` -> dscores ``(B, A, T, T)``."""
    dprobs = dropout.backward(dprobs, cache.dropout)
    return softmax.backward(dprobs, cache.softmax)
