"""The optimiser's step and the gradient's norm, each over the whole slab in one launch. The equations: ``adamw.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log
from typing import Any

import numpy as np

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import launch
from minibert.training import adamw as readable
from minibert.training.adamw import AdamW, Run, pieces

PIECE = 2**14  # numbers a block
THREADS = 256


@lru_cache(maxsize=16)
def _tables(xp: Any, table: tuple[Run, ...]) -> tuple[Array, Array, Array, Array]:
    """On the device: (start, stop) and (decay, lr_scale) of each piece; and what the norm needs, a sum for each and a counter."""
    parts = pieces(table, PIECE)
    spans = np.array([(run.start, run.stop) for run in parts], np.int64).reshape(-1, 2)
    factors = np.array([(run.decay, run.lr_scale) for run in parts], np.float32).reshape(-1, 2)
    return xp.asarray(spans), xp.asarray(factors), xp.zeros(len(parts), np.float64), xp.zeros(1, np.uint32)


def norm(g: Array, table: Sequence[Run]) -> Array:
    """As ``training.adamw.norm``, to which it leaves slabs of other types than float32."""
    if g.dtype != np.float32:
        return readable.norm.__wrapped__(g, table)
    xp = get_xp(g)
    spans, _, sums, finished = _tables(xp, tuple(table))
    total = xp.zeros((), "float32")
    if len(spans):
        launch(g, "adamw", "gradient_norm", (len(spans),), (THREADS,), g, spans, sums, finished, total, shared=THREADS // 32)
    return total


def step(p: Array, g: Array, m: Array, v: Array, table: Sequence[Run], lr: float, number: Array | int, constants: AdamW,
         scale: Array | float | None = None, skip: Array | bool = False) -> None:
    """As ``training.adamw.step``, to which it leaves slabs of other types than float32."""
    if any(slab.dtype != np.float32 for slab in (p, g, m, v)):
        readable.step.__wrapped__(p, g, m, v, table, lr, number, constants, scale, skip)
        return
    xp = get_xp(p)
    spans, factors, *_ = _tables(xp, tuple(table))
    beta1, beta2, epsilon, weight_decay, bias_correction = constants
    known = isinstance(number, int)  # else only the device knows how many steps were taken
    if bias_correction and known:
        corrections = 1 - beta1**number, 1 - beta2**number
    else:
        corrections = 1.0, 1.0
    if scale is not None and not hasattr(scale, "get"):
        scale = xp.full((), scale, "float32")
    if len(spans):
        launch(p, "adamw", "adamw_step", (len(spans),), (THREADS,), p, g, m, v, spans, factors, scale,
               skip if hasattr(skip, "get") else xp.full((), True) if skip else None,
               None if known or not bias_correction else number.astype("float32"), float(lr), 1 - beta1, 1 - beta2,
               log(beta1) if beta1 else -np.inf, log(beta2) if beta2 else -np.inf, float(epsilon), float(weight_decay),
               *(float(c) for c in corrections))
