"""Pooling: one vector for a whole text, made from those of its tokens.

::

    v = Σ_t w_t∘x_t        mean    w_t = mask_t / Σ_t mask_t          mask: 1 for tokens, 0 for padding
                           cls     w_t = [t = 0]                      the vector of [CLS]
                           max     w_th = [t = argmax_t x_th]         of each of the H numbers the largest, among tokens

All three are weighted sums over the tokens, of whole vectors or number by number. (The *pooler* of BERT is another thing: a
trained layer on top of [CLS].)

Backward: the weights of mean and cls are constants, and those of max do not change as long as the same token stays the largest:
``dx_t = w_t∘dv``. Where two tokens are equally large, the first one takes all.

Source: Reimers and Gurevych 2019, "Sentence-BERT", section 3.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from minibert.backend import Array, get_xp, widen


class Cache(NamedTuple):
    weights: Array  # (B, T, 1), (1, T, 1) or (B, T, H)
    dtype: object


def _mean(x: Array, real: Array) -> Array:
    return real / real.sum(1, keepdims=True)


def _cls(x: Array, real: Array) -> Array:
    return _places(x) == 0


def _max(x: Array, real: Array) -> Array:
    xp = get_xp(x)
    return _places(x) == xp.where(real > 0, x.real, -xp.inf).argmax(1)[:, None]


def _places(x: Array) -> Array:
    return get_xp(x).arange(x.shape[1])[None, :, None]


KINDS = MappingProxyType({"mean": _mean, "cls": _cls, "max": _max})


def forward(x: Array, mask: Array | None = None, kind: str = "mean") -> tuple[Array, Cache]:
    """x ``(B, T, H)``, mask ``(B, T)``, None where nothing is padded -> v ``(B, H)``. ``kind``: one of ``KINDS``."""
    wide = widen(x)
    mask = get_xp(x).ones(x.shape[:2], bool) if mask is None else mask
    weights = KINDS[kind](wide, mask[:, :, None].astype(wide.real.dtype)).astype(wide.real.dtype, copy=False)
    return (wide * weights).sum(1).astype(x.dtype, copy=False), Cache(weights, x.dtype)


def backward(dv: Array, cache: Cache) -> Array:
    """dv ``(B, H)`` -> dx ``(B, T, H)``."""
    weights, dtype = cache
    return (dv[:, None] * weights).astype(dtype, copy=False)
