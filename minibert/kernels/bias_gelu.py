"""Bias & GELU in one pass, and the bias gradient with the backward of it. The equations: ``bias_gelu.cu``."""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import WARP, add_columns, contiguous, launch, pieces, processors, width
from minibert.parameters import Tree

THREADS = 128  # a block


class Cache(NamedTuple):
    x: Array  # (..., I) without the bias
    form: str


def forward(x: Array, p: Tree, form: str = "gelu") -> tuple[Array, Cache]:
    """As ``layers.bias_gelu.forward``."""
    x, bias = contiguous(x, p["bias"])
    y = get_xp(x).empty_like(x)
    if x.size:
        rows, columns, wide, blocks, threads = _shape(x, x)
        strips = max(1, min(rows, 16 * processors(get_xp(x)) // blocks))
        launch(x, "bias_gelu", "bias_gelu_forward", (blocks, strips), (threads,), x, bias, y, rows, columns, form == "gelu",
               WIDTH=wide)
    return y, Cache(x, form)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """As ``layers.bias_gelu.backward``."""
    x, form = cache
    xp = get_xp(x)
    x, dy, bias = contiguous(x, dy, p["bias"])
    du = xp.empty_like(x)
    if x.size:
        rows, columns, wide, blocks, threads = _shape(x, dy)
        strips = max(1, min(rows, 8 * processors(xp) // blocks))
        part = xp.empty((strips, columns), "float32") if g else None
        launch(x, "bias_gelu", "bias_gelu_backward", (blocks, strips), (threads,), dy, x, bias, du, part, rows, columns,
               form == "gelu", WIDTH=wide)
        if g:
            add_columns(part, g["bias"])
    return du


def _shape(x: Array, dy: Array) -> tuple[int, int, int, int, int]:
    """Rows, columns, numbers a thread, blocks side by side, threads a block."""
    columns = x.shape[-1]
    wide = width(columns, x, dy)
    threads = min(THREADS, WARP * pieces(columns, wide))
    return x.size // columns, columns, wide, -(-columns // (wide * threads)), threads
