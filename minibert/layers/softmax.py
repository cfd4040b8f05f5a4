"""Softmax over the last axis, with an additive mask.

::

    z = x + mask        y_i = exp(z_i - max z) / Σ_j exp(z_j - max z)

The mask is 0 where a position may be seen and ``MASKED`` where not: exp(-10000) is zero in every precision. It is finite on
purpose. A row that is all padding then stays a number (its scores compete among themselves), where -inf - (-inf) would be NaN.
Subtracting the maximum changes nothing, numerator and denominator shrink alike, and keeps exp from overflowing.

Backward: ``∂y_i/∂x_j = y_i·(δ_ij - y_j)``, so::

    dx_j = Σ_i dy_i·y_i·(δ_ij - y_j) = y_j·(dy_j - Σ_i dy_i·y_i)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minibert.backend import Array, get_xp, widen
from minibert.numerics.rows import total

MASKED = -1e4  # what the reference adds (modeling.py, attention_layer)


class Cache(NamedTuple):
    y: Array  # (..., T)


def forward(x: Array, mask: Array | None = None) -> tuple[Array, Cache]:
    """x ``(..., T)``, mask broadcastable to it or None -> y ``(..., T)``, each row a distribution. Sums in float32 or wider."""
    xp = get_xp(x)
    z = widen(x if mask is None else x + mask)
    y = z - z.real.max(-1, keepdims=True)
    xp.exp(y, out=y)
    y /= total(y)
    y = y.astype(x.dtype, copy=False)
    return y, Cache(y)


def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(..., T)`` -> dx ``(..., T)``. The mask is a constant: it gets no gradient."""
    (y,) = cache
    dx = dy * y
    dx -= y * total(dx)
    return dx


def additive_mask(mask: Array, dtype: object) -> Array:
    """A mask of real (1) and padded (0) positions as numbers to add to attention scores.

    mask ``(B, T)``: which keys may be seen, the same for all queries -> ``(B, 1, 1, T)``.
    mask ``(B, T, T)``: which keys each query may see -> ``(B, 1, T, T)``.

    0 and False hide, 1 and True show, whatever the type. ValueError for another shape and, where no device must be waited for,
    for negative numbers: those are of a mask that is additive already, whose 0 shows.
    """
    if mask.ndim not in (2, 3):
        raise ValueError(f"attention mask: expected shape (B, T) or (B, T, T), got {mask.shape}")
    if get_xp(mask) is np and mask.min(initial=0) < 0:
        raise ValueError(f"attention mask: expected 1 where a token may be seen and 0 where not, got {mask.min():g}; of a mask "
                         "that is to be added to the scores, pass mask == 0")
    hidden = (mask == 0).astype(dtype)
    hidden *= MASKED  # in place: a Python float would make float32 of bfloat16 on a device
    return hidden[:, None, None, :] if mask.ndim == 2 else hidden[:, None, :, :]
