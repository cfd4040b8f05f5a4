"""Linear layer: ``y = x·Wᵀ + b``.

``weight`` W is ``(out, in)`` and ``bias`` b is ``(out,)``, as in the reference checkpoints of the PyTorch port (the original
TensorFlow kernels are the transpose).

Backward, with N rows of x stacked into one matrix::

    y[n,o] = Σ_i x[n,i]·W[o,i] + b[o]

    ∂y[n,o]/∂x[n,i] = W[o,i]      so    dx[n,i] = Σ_o dy[n,o]·W[o,i]      dx = dy·W
    ∂y[n,o]/∂W[o,i] = x[n,i]      so    dW[o,i] = Σ_n dy[n,o]·x[n,i]      dW = dyᵀ·x
    ∂y[n,o]/∂b[o]   = 1           so    db[o]   = Σ_n dy[n,o]

Each of the three products sums over the axis that the gradient does not have.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.numerics.products import add_transposed, times_transposed
from minibert.numerics.rows import down
from minibert.parameters import Shapes, Tree


class Cache(NamedTuple):
    x: Array  # (..., in)
    bias: bool = True  # was it added here?


def shapes(outputs: int, inputs: int) -> Shapes:
    """weight and bias."""
    return {"weight": (outputs, inputs), "bias": (outputs,)}


def forward(x: Array, p: Tree, bias: bool = True) -> tuple[Array, Cache]:
    """x ``(..., in)`` -> y ``(..., out)``. ``p``: weight ``(out, in)``, bias ``(out,)``, left out where ``bias`` is False."""
    y = times_transposed(_rows(x), p["weight"])  # (N, in) -> (N, out): one product, however many leading axes
    if bias:
        y += p["bias"]
    return y.reshape(*x.shape[:-1], y.shape[-1]), Cache(x, bias)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., out)`` -> dx ``(..., in)``; adds to ``g["weight"]`` and ``g["bias"]``."""
    x, bias = cache
    if g:
        add_transposed(g["weight"], _rows(dy), _rows(x))
        if bias:
            g["bias"] += down(_rows(dy))
    return (_rows(dy) @ p["weight"]).reshape(x.shape)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])  # (..., n) -> (N, n)
