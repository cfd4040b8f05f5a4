"""Matrices in 8 bits: a row is whole numbers from -127 to 127, and what they are multiplied by.

::

    s_o = max_i |w_oi| / 127        q_oi = round(w_oi / s_o)        w_oi ≈ s_o·q_oi, by at most s_o/2

A row is an output of a linear layer, or a word of the table. In a file ``x.weight`` is ``x.weight.int8`` ``(out, in)`` and
``x.weight.scale`` ``(out,)`` in float32: under names of their own, so that nobody takes the one without the other for weights.
Vectors, biases and norms, stay as they are.

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
arXiv:1712.05877, section 2.1, without zero points, and row by row: Zafrir et al. 2019, "Q8BERT", arXiv:1910.06188, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NUMBERS, SCALE, MOST = ".int8", ".scale", 127


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays as they are stored: matrices in two parts."""
    found = {}
    for name, x in arrays.items():
        if x.ndim == 2 and name.endswith("weight"):
            wide = x.astype(np.float32)
            scale = np.abs(wide).max(1) / np.float32(MOST)
            found[name + NUMBERS] = np.rint(wide / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
            found[name + SCALE] = scale
        else:
            found[name] = x
    return found


def unpacked(numbers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """int8 ``(out, in)`` and its scales ``(out,)`` -> float32 ``(out, in)``."""
    return numbers * scale[:, None]
