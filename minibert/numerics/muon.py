"""Muon's step of a matrix: the mean of its gradients, with all singular values brought near 1.

::

    M ← μ·M + (1-μ)·G               U ← (1-μ)·G + μ·M           Nesterov: G counts once more
    X ← U/‖U‖                       no singular value is above 1
    X ← a·X + (b·A + c·A²)·X        five times, A = X·Xᵀ        Newton-Schulz
    W ← W - lr·(s·X + λ·W)

With X = P·Σ·Qᵀ, X·Xᵀ·X is P·Σ³·Qᵀ: the third line takes every singular value x to a·x + b·x³ + c·x⁵ and leaves P and Q as they
are. (a, b, c) = (3.4445, -4.7750, 2.0315) lift small ones fast; after five times, what began above
0.002 is between 0.68 and 1.21. So a step goes as far in the directions that few examples ask for as in those that all ask for.

``scale``, s of a matrix of n rows and m columns:

    adam        0.2·√max(n, m)      numbers of X as large as Adam's: its learning rate and its decay serve for both
    original    √max(1, n/m)        the first program's; ``rest`` is its Adam's rate as a share, 3e-4 beside 0.02

The published programs compute X in bfloat16; here it has the dtype of the weights.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon;
Liu et al. 2025, "Muon is Scalable for LLM Training" (arXiv 2502.16982), section 2.2.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp

COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 5


class Muon(NamedTuple):
    """The constants, from ``beta1`` to ``bias_correction`` those of AdamW for all that is no matrix of a layer."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = True
    momentum: float = 0.95
    scale: str = "adam"
    rest: float = 1.0  # AdamW's learning rate, as a share of that of the matrices


def direction(g: Array, m: Array, constants: Muon) -> None:
    """The mean of the gradients ``m`` ``(n,)`` in place, and g becomes u."""
    m += (1 - constants.momentum) * (g - m)
    g += constants.momentum * (m - g)


def orthogonal(u: Array) -> Array:
    """``(n, m)`` -> X ``(n, m)``; zeros where u is zero."""
    if len(u) > u.shape[1]:
        return orthogonal(u.T).T  # A is the smaller of the two products
    a, b, c = COEFFICIENTS
    xp, flat = get_xp(u), u.reshape(-1)
    x = u / xp.maximum(xp.dot(flat, flat) ** 0.5, 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def scale(shape: tuple[int, int], constants: Muon) -> float:
    """s of a matrix of this shape."""
    n, m = shape
    return max(1, n / m) ** 0.5 if constants.scale == "original" else 0.2 * max(n, m) ** 0.5
