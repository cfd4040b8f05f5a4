"""Precision: which numbers a device computes with. The weights that are trained, and their moments, are float32 whatever it is.

::

    float32     everything
    tf32        float32, but matrix products round their factors to 10 bits behind the point
    bfloat16    weights are copied to it for every step, activations are of it; sums inside kernels and products are float32
    float16     as bfloat16; more digits, less range: small gradients would round to zero, so the loss is scaled up beforehand

Gradients of parameters are summed in float32; what a micro-batch adds to them has been rounded to the type of its activations.
Source: Micikevicius et al. 2018, "Mixed Precision Training".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.backend import Array, compute_capability
from minibert.training.course import PRECISIONS

AMPERE = 80  # compute capability of the first GPUs whose products know tf32 and bfloat16


def dtype_of(precision: str, xp: Any) -> np.dtype:
    """The type of activations. ValueError for one that does not exist or that the device of ``xp`` cannot compute with."""
    if precision not in PRECISIONS:
        raise ValueError(f"--precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "float32" and xp is np:
        raise ValueError(f"--precision {precision} is for an NVIDIA GPU, and this run is on the CPU; use --precision float32")
    capability = compute_capability(xp)
    if precision in ("tf32", "bfloat16") and capability is not None and capability < AMPERE:
        raise ValueError(f"--precision {precision} needs a GPU of compute capability 8.0 (Ampere) or later, and this one has "
                         f"{capability / 10}; use float16, or float32")
    if precision == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            raise ValueError("--precision bfloat16 needs the package ml_dtypes: pip install -r requirements-gpu.txt") from None
        return np.dtype(bfloat16)
    return np.dtype("float16" if precision == "float16" else "float32")


class LossScale:
    """What the loss is multiplied by, so that small gradients survive float16: halved after an overflow, doubled after many steps
    without one.

    All of it is numbers () on the device: whether a step overflowed is known there, and the host need not wait to be told.
    """

    GROW_AFTER = 2000  # steps without an overflow

    def __init__(self, xp: Any, scale: float = 2.0**16, good: float = 0.0, skipped: float = 0.0) -> None:
        self.xp = xp
        self.scale, self.good, self.skipped = (xp.full((), value, "float32") for value in (scale, good, skipped))

    def update(self, finite: Array) -> None:
        """After a step whose gradients were all ``finite`` () or not, and which was skipped in that case."""
        good = self.xp.where(finite, self.good + 1, 0)
        grow = good >= self.GROW_AFTER
        changed = self.xp.where(grow, self.scale * 2, self.scale)
        self.scale = self.xp.where(finite, changed, self.xp.maximum(self.scale / 2, 1)).astype("float32")
        self.good = self.xp.where(grow, 0, good).astype("float32")
        self.skipped = self.skipped + ~finite

    def restart(self) -> None:
        """Steps are counted from here on, the skipped ones too."""
        self.skipped = self.xp.zeros_like(self.skipped)

    def state(self) -> tuple[float, float, float]:
        """Scale, good steps and skipped steps as numbers: what a checkpoint keeps. Waits for the device."""
        return float(self.scale), float(self.good), float(self.skipped)
