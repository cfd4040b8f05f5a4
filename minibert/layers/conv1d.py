"""Convolution along the text: a linear layer over every k neighbouring tokens. Only whole windows count ("valid").

::

    y[b,t] = Σ_j W_j·x[b,t+j] + c            j = 0 … k-1        t = 0 … T-k

``weight`` is ``(out, in, k)`` and ``bias`` c is ``(out,)``, as in PyTorch. With the k vectors of a window side by side it is one
product: ``y[b,t] = W·(x[b,t] ‖ … ‖ x[b,t+k-1])``.

Backward: that of the linear layer for W, c and the windows. A token stands in up to k windows, so their gradients are added::

    dW_j = Σ_bt dy[b,t]·x[b,t+j]ᵀ        dc = Σ_bt dy[b,t]        dx[b,s] = Σ_j W_jᵀ·dy[b,s-j]

Source: Collobert et al. 2011, "Natural Language Processing (Almost) from Scratch", section 3.2.2 (arXiv 1103.0398).
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics.rows import down
from minibert.parameters import Shapes, Tree


class Cache(NamedTuple):
    x: Array  # (B, T, in)
    bias: bool  # was it added here?


def shapes(outputs: int, inputs: int, width: int, bias: bool = True) -> Shapes:
    """weight and, where there is one, bias."""
    return {"weight": (outputs, inputs, width), **({"bias": (outputs,)} if bias else {})}


def forward(x: Array, p: Tree, bias: bool = True) -> tuple[Array, Cache]:
    """x ``(B, T, in)`` -> y ``(B, T-k+1, out)``. ``p``: weight ``(out, in, k)``, bias ``(out,)``.

    ``bias``: whether it is added here. ValueError where there is no whole window, T < k.
    """
    width = p["weight"].shape[2]
    if x.shape[1] < width:
        raise ValueError(f"a convolution over {width} tokens needs at least so many, got {x.shape[1]}: pad the text")
    y = _windows(x, width) @ _matrix(p["weight"]).T  # (N, k·in) -> (N, out)
    if bias:
        y += p["bias"]
    return y.reshape(len(x), -1, y.shape[-1]), Cache(x, bias)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, T-k+1, out)`` -> dx ``(B, T, in)``; adds to ``g["weight"]`` and ``g["bias"]``."""
    x, bias = cache
    (outputs, inputs, width), places = p["weight"].shape, dy.shape[1]
    rows = dy.reshape(-1, outputs)  # (B, T-k+1, out) -> (N, out)
    if g:
        dW = rows.T @ _windows(x, width)  # (out, k·in)
        g["weight"] += dW.reshape(outputs, width, inputs).transpose(0, 2, 1)
        if bias:
            g["bias"] += down(rows)
    dwindows = (rows @ _matrix(p["weight"])).reshape(*dy.shape[:2], width, inputs)
    dx = get_xp(x).zeros(x.shape, dy.dtype)
    for j in range(width):
        dx[:, j:j + places] += dwindows[:, :, j]
    return dx


def _windows(x: Array, width: int) -> Array:
    """Every ``width`` neighbours side by side: x ``(B, T, in)`` -> ``(N, k·in)``, N = B·(T-k+1)."""
    places = x.shape[1] - width + 1
    return get_xp(x).concatenate([x[:, j:j + places] for j in range(width)], axis=2).reshape(-1, width * x.shape[2])


def _matrix(weight: Array) -> Array:
    """weight ``(out, in, k)`` as that of a linear layer over windows: ``(out, k·in)``."""
    return weight.transpose(0, 2, 1).reshape(len(weight), -1)
