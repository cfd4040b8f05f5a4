"""Layer normalisation: every token's vector brought to mean 0 and variance 1, then scaled and shifted.

::

    μ = mean(x)     σ² = mean((x-μ)²)     rstd = 1/√(σ²+ε)     x̂ = (x-μ)·rstd     y = γ·x̂ + β

γ is ``weight`` and β is ``bias``, both ``(H,)``; means run over the last axis. Source: Ba et al. 2016, "Layer Normalization",
equations 3 and 4; BERT's ε is 1e-12.

Backward. For γ and β the sums over all tokens: ``dγ = Σ dy·x̂`` and ``dβ = Σ dy``. For x, let ``dx̂ = γ·dy``, and follow one
vector. x reaches x̂ on three paths::

    directly            dx̂·rstd
    through rstd        ∂rstd/∂x = -rstd³·(x-μ)/H = -rstd²·x̂/H
                        Σ_j dx̂_j·(x_j-μ) · (-rstd²·x̂/H)  =  -rstd·x̂·mean(dx̂·x̂)
    through μ           ∂μ/∂x = 1/H, for x̂ itself:  -rstd·mean(dx̂)      (through σ² nothing: mean(x-μ) = 0)

    dx = rstd·(dx̂ - mean(dx̂) - x̂·mean(dx̂·x̂))

Read it as a projection: the part of dx̂ along the constant vector and the part along x̂ are removed, because neither a
shift nor a stretch of x changes x̂.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, widen
from minibert.kernels import twin
from minibert.numerics.rows import down, mean
from minibert.parameters import Shapes, Tree


class Cache(NamedTuple):
    xhat: Array  # (..., H)  normalised input
    rstd: Array  # (..., 1)  1/σ


def shapes(size: int) -> Shapes:
    """γ and β."""
    return {"weight": (size,), "bias": (size,)}


@twin
def forward(x: Array, p: Tree, eps: float = 1e-12) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> y ``(..., H)``. ``p``: weight γ ``(H,)``, bias β ``(H,)``. Means run in float32 or wider."""
    wide = widen(x)
    xhat = wide - mean(wide)
    rstd = (mean(xhat * xhat) + eps) ** -0.5
    xhat *= rstd
    y = xhat * p["weight"]
    y += p["bias"]
    return y.astype(x.dtype, copy=False), Cache(xhat, rstd)


@twin
def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(..., H)`` -> dx ``(..., H)``; adds to ``g["weight"]`` and ``g["bias"]``."""
    xhat, rstd = cache
    if g:
        g["weight"] += down((dy * xhat).reshape(-1, dy.shape[-1]))
        g["bias"] += down(dy.reshape(-1, dy.shape[-1]))
    dx = dy * p["weight"]  # this is dx̂; the next lines turn it into dx in place
    along_xhat = xhat * mean(dx * xhat)
    dx -= mean(dx)
    dx -= along_xhat
    dx *= rstd
    return dx.astype(dy.dtype, copy=False)
