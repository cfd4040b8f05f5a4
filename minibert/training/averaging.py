"""The exponential moving average of the weights: what is looked at and saved in their place.

::

    a ← d·a + (1-d)·p        after each step; a begins as p did

After t steps a = dᵗ·p_0 + (1-d)·Σ_k d^(t-k)·p_k: the weights of about the last 1/(1-d) steps, so that the jitter of single steps
cancels. Training itself does not know of it.

Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the exponential form is bert4keras's,
``extend_with_exponential_moving_average``.
"""

from __future__ import annotations

from minibert.backend import Array

AVERAGE = "average"  # the name of its slab


def follow(a: Array, p: Array, decay: float) -> None:
    """One step of the average ``a`` of ``p``, both ``(n,)``, in place."""
    a += (1 - decay) * (p - a)
