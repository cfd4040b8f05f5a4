"""Bias and ReLU: ``y = max(x + b, 0)``, what some relatives of BERT have in the place of bias and GELU.

Backward: where y is above zero the gradient passes, elsewhere nothing does, and b is added to every row: ``db = Σ du``. At zero
itself, where the curve has a kink and no derivative, it is taken to be 0.

Source: Nair and Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines".
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.numerics.rows import down
from minibert.parameters import Tree


class Cache(NamedTuple):
    y: Array  # (..., I)


def forward(x: Array, p: Tree, form: str = "relu") -> tuple[Array, Cache]:
    """x ``(..., I)`` -> y ``(..., I)``. ``p``: bias ``(I,)``. ``form``: there is one; others of its kind have several."""
    y = x + p["bias"]
    y *= y.real > 0
    return y, Cache(y)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., I)`` -> dx ``(..., I)``; adds to ``g["bias"]``."""
    (y,) = cache
    dx = dy * (y.real > 0)
    if g:
        g["bias"] += down(dx.reshape(-1, dx.shape[-1]))
    return dx
