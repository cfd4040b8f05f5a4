"""How far a student's vectors point from a teacher's: one less the cosine, of every token.

::

    loss = 1/count · Σ_n real_n·(1 - x̂_n·t̂_n)        x̂ = x/‖x‖        t̂ = t/‖t‖

Padding has ``real`` 0. The count is the caller's, as in ``cross_entropy``.

Backward: ``dcos_n = -dloss·real_n/count``, and on through ``cosine``. The teacher's vectors are data and have no gradient.
Source: Sanh et al. 2019, "DistilBERT", arXiv:1910.01108, section 2; ``torch.nn.CosineEmbeddingLoss`` with all targets 1.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.layers import cosine


class Cache(NamedTuple):
    cosine: cosine.Cache
    shares: Array  # (...) real/count
    dtype: object


def forward(x: Array, targets: tuple[Array, Array | None], count: float | None = None) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> loss ``()``. ``targets``: the teacher's ``(..., H)``; and ``real`` ``(..., 1)``, None where all is real.

    ``count`` defaults to the number of real ones.
    """
    y, real = targets
    wide = widen(x)
    c, c_cache = cosine.forward(wide, y.astype(wide.real.dtype, copy=False))
    shares = get_xp(c).ones(c.shape, c.real.dtype) if real is None else real[..., 0].astype(c.real.dtype)
    shares = shares / ((float(shares.sum()) if count is None else count) or 1)
    return ((1 - c) * shares).sum(), Cache(c_cache, shares, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(..., H)``."""
    c_cache, shares, dtype = cache
    return cosine.backward(-dloss * shares, c_cache)[0].astype(dtype, copy=False)
