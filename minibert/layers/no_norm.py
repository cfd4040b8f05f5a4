"""No norm: ``y = γ⊙x + β``, what is left of layer normalisation when mean and variance are not looked at.

MobileBERT has it in the place of layer norm: on a phone the two passes over each vector cost more time than numbers. What
normalisation did for training is then missing, so the released model was first taught, layer by layer, by one that has it.

γ is ``weight`` and β is ``bias``, both ``(H,)``. Backward: ``dγ = Σ dy⊙x``, ``dβ = Σ dy``, ``dx = γ⊙dy``.
Source: Sun et al. 2020, "MobileBERT", section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.numerics.rows import down
from minibert.parameters import Tree


class Cache(NamedTuple):
    x: Array  # (..., H)


def forward(x: Array, p: Tree, eps: float = 0.0) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> y ``(..., H)``. ``p``: weight γ ``(H,)``, bias β ``(H,)``. ``eps``: unused, but every norm takes one."""
    y = x * p["weight"]
    y += p["bias"]
    return y, Cache(x)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., H)`` -> dx ``(..., H)``; adds to ``g["weight"]`` and ``g["bias"]``."""
    (x,) = cache
    if g:
        g["weight"] += down((dy * x).reshape(-1, dy.shape[-1]))
        g["bias"] += down(dy.reshape(-1, dy.shape[-1]))
    return dy * p["weight"]
