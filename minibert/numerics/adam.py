"""Adam's step, with weight decay beside it instead of inside it.

::

    m ← β₁·m + (1-β₁)·g             running mean of the gradient
    v ← β₂·v + (1-β₂)·g²            running mean of its square
    m̂ = m/(1-β₁ᵗ)   v̂ = v/(1-β₂ᵗ)   both started at zero: early means are too small by these factors
    p ← p - lr·(m̂/(√v̂ + ε) + λ·p)

Dividing by √v̂ gives every number a step of about lr, however large its gradient. The decay λ·p does not pass through that
division. The reference leaves the correction of m and v out (``optimization.py``); so does ``bias_correction=False``. Its
β₂ = 0.999 then makes the first steps larger: (1-β₁)/√(1-β₂) is 3.2.

Source: Kingma and Ba 2014, "Adam", algorithm 1; Loshchilov and Hutter 2017, "Decoupled Weight Decay Regularization", algorithm 2.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp


class AdamW(NamedTuple):
    """The constants. The learning rate comes with every step."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = True


DEFAULT = AdamW()


def update(p: Array, g: Array, m: Array, v: Array, lr: Array | float, step: int, decay: bool, constants: AdamW) -> None:
    """One step of the numbers in ``p``, ``(n,)`` like the gradient ``g`` and the moments ``m`` and ``v``; ``step`` counts from 1.

    p, m and v change in place; g is used as scratch space and holds nothing afterwards.
    """
    correction = direction(g, m, v, step, constants)
    if decay:
        p *= 1 - lr * constants.weight_decay
    g *= lr / correction
    p -= g


def direction(g: Array, m: Array, v: Array, step: Array | int, constants: AdamW) -> Array | float:
    """The moments of a step, in place; g becomes m/(√v̂ + ε). Returns 1-β₁ᵗ, which m in it is still to be divided by."""
    beta1, beta2, epsilon = constants.beta1, constants.beta2, constants.epsilon
    correction1 = 1 - beta1**step if constants.bias_correction else 1.0
    correction2 = 1 - beta2**step if constants.bias_correction else 1.0
    m += (1 - beta1) * (g - m)
    g *= g
    g -= v
    g *= 1 - beta2
    v += g
    get_xp(g).sqrt(v, out=g)
    g *= correction2**-0.5
    g += epsilon
    get_xp(g).divide(m, g, out=g)
    return correction1
