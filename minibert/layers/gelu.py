"""GELU: ``y = x·Φ(x)``, a smooth gate that keeps x with the probability that a normal number is below it.

Two forms are in use, and a gradient must belong to the form that ran::

    "gelu"                          Φ(x) = ½·(1 + erf(x/√2))                        Φ'(x) = φ(x) = exp(-x²/2)/√(2π)
    "gelu_new", "gelu_pytorch_tanh" Φ(x) ≈ ½·(1 + tanh(h)),  h = √(2/π)·(x + 0.044715·x³)
                                                                        Φ'(x) ≈ ½·(1 - tanh²(h))·h'
                                                                              = 2·Φ·(1-Φ)·√(2/π)·(1 + 3·0.044715·x²)

Backward, by the product rule: ``dx = dy·(Φ(x) + x·Φ'(x))``.

Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2. The reference ``modeling.py`` runs the tanh form, the
published ports and checkpoints of BERT say "gelu" and run the erf form.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics import normal

C = sqrt(2 / pi)


class Cache(NamedTuple):
    x: Array  # (...)
    cdf: Array  # (...) Φ(x), in the form that ran
    form: str


def forward(x: Array, form: str = "gelu") -> tuple[Array, Cache]:
    """x ``(...)`` -> y ``(...)``; ``form`` as in the configuration's ``hidden_act``."""
    cdf = normal.cdf(x) if form == "gelu" else 0.5 * (1 + get_xp(x).tanh(C * (x + 0.044715 * (x * x * x))))
    return (x * cdf).astype(x.dtype, copy=False), Cache(x, cdf, form)


def backward(dy: Array, cache: Cache) -> Array:
    """dy ``(...)`` -> dx ``(...)``."""
    x, cdf, form = cache
    dx = normal.pdf(x) if form == "gelu" else 2 * cdf * (1 - cdf) * C * (1 + 3 * 0.044715 * (x * x))
    dx *= x
    dx += cdf
    dx *= dy
    return dx.astype(x.dtype, copy=False)
