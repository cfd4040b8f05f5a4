"""Dense & norm: ``y = norm(residual + dropout(W·x + b))``, the step that MobileBERT's blocks are made of.

Without a residual it is a bottleneck, ``y = norm(W·x + b)``: the vector becomes narrower, and nothing of its width is there to be
added. Backward: the sum hands its gradient to both sides, and x gets it through its dropout mask and W.

Source: Sun et al. 2020, "MobileBERT", figure 1 (c).
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.layers import dropout, layernorm, linear, norm
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    dense: linear.Cache
    dropout: dropout.Cache
    norm: norm.Cache


def shapes(outputs: int, inputs: int) -> Shapes:
    """A linear layer and a norm."""
    return named({"dense": linear.shapes(outputs, inputs), "LayerNorm": layernorm.shapes(outputs)})


def forward(x: Array, residual: Array | None, p: Tree, kind: str = "layer_norm", eps: float = 1e-12, rate: float = 0.0,
            key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(..., in)``, residual ``(..., out)`` or None -> y ``(..., out)``. ``p``: dense, LayerNorm. ``kind``: see ``norm``."""
    u, dense_cache = linear.forward(x, p["dense"])
    u, dropout_cache = dropout.forward(u, rate, key)
    y, norm_cache = norm.forward(u if residual is None else residual + u, p["LayerNorm"], kind, eps)
    return y, Cache(dense_cache, dropout_cache, norm_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> tuple[Array, Array]:
    """dy ``(..., out)`` -> dx ``(..., in)``, dresidual ``(..., out)``, which is nobody's where there was no residual."""
    dresidual = norm.backward(dy, cache.norm, p["LayerNorm"], g["LayerNorm"])
    du = dropout.backward(dresidual, cache.dropout)
    return linear.backward(du, cache.dense, p["dense"], g["dense"]), dresidual
