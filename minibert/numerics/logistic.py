"""The logistic function σ(x) = 1/(1 + exp(-x)), by tanh, which does not overflow."""

from __future__ import annotations

from minibert.backend import Array, get_xp


def sigmoid(x: Array) -> Array:
    """σ(x) = ½·(1 + tanh(x/2)), of the shape of x."""
    return 0.5 * (1 + get_xp(x).tanh(0.5 * x))
