"""LAMB's step: Adam's direction, as long for each tensor as its weights say.

::

    u ← m̂/(√v̂ + ε) + λ·w                  Adam's direction and the decay, as in ``adam``
    w ← w - lr·r·u          r = ‖w‖/‖u‖     over the tensor; 1 where either norm is 0

Every tensor then moves by the share lr of its own length, so that one rate fits all of them, however large the batch. A tensor
that starts at zero, as biases do, has no length to go by: its r is 1.

The published programs differ. ``ratio`` says which tensors have an r of their own, all others have 1:

    decayed   those that λ decays, so none where λ is 0     NVIDIA, PyTorch: apex's ``FusedLAMB``, bias correction on
    weights   all but biases and layer norms                ALBERT, the paper's authors: no bias correction
    all       all                                           NVIDIA, TensorFlow

All of them shorten the gradient of the whole model to length 1 beforehand, which is clipping at 1.

Source: You et al. 2019, "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes" (arXiv 1904.00962),
algorithm 2; NVIDIA apex ``multi_tensor_lamb.cu``; google-research/albert ``lamb_optimizer.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics import adam


class LAMB(NamedTuple):
    """The constants. The learning rate comes with every step."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = True
    ratio: str = "decayed"

    def adapts(self, decay: bool) -> bool:
        """Has a tensor, decayed or not, a ratio of its own?"""
        return self.ratio == "all" or (decay and (self.ratio == "weights" or self.weight_decay > 0))


def direction(p: Array, g: Array, m: Array, v: Array, step: Array | int, decay: bool, constants: LAMB) -> tuple[Array, Array]:
    """The moments of a step in place, and g becomes u; all ``(n,)``. Returns ‖p‖² and ‖u‖², in float64 () where p is."""
    g /= adam.direction(g, m, v, step, constants)
    if decay:
        g += constants.weight_decay * p
    dot = get_xp(p).dot
    return dot(p, p).astype("float64"), dot(g, g).astype("float64")


def ratio(p2: Array, u2: Array, xp: Any) -> Array:
    """r of a tensor from its ‖p‖² and ‖u‖², numbers () of ``xp``."""
    return xp.where((p2 > 0) & (u2 > 0), xp.sqrt(p2 / xp.where(u2 > 0, u2, 1)), 1.0)
