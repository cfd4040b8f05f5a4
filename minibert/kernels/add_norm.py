"""Add & norm in one pass: dropout, sum and layer norm of a row without a step into memory. The equations: ``add_norm.cu``."""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels.cuda import add_columns, contiguous, drawing, launch, pieces, processors, width
from minibert.layers import add_norm as readable
from minibert.layers.dropout import Key
from minibert.parameters import Tree

WARPS = 4  # a block
BLOCKS = 3  # a processor, in backward: with rows of 768, so many hold theirs in registers at once
SHARED = 12288  # floats that every device gives a block


class Cache(NamedTuple):
    x: Array  # (..., H)
    residual: Array | None  # (..., H); None: layer norm alone
    means: Array  # (N,) float32, as the next
    rstds: Array  # (N,)
    rate: float
    key: Key | None


def forward(x: Array, residual: Array, p: Tree, eps: float = 1e-12, rate: float = 0.0,
            key: Key | Array | None = None) -> tuple[Array, Cache]:
    """As ``layers.add_norm.forward``. A mask given as an array is left to it."""
    if not isinstance(key, (Key, type(None))):
        return readable.forward.__wrapped__(x, residual, p, eps, rate, key)
    return normalise(x, residual, p, eps, rate, key)


def normalise(x: Array, residual: Array | None, p: Tree, eps: float, rate: float = 0.0,
              key: Key | None = None) -> tuple[Array, Cache]:
    """``forward``, or layer norm of x where there is no residual."""
    xp = get_xp(x)
    x, residual, gamma, beta = contiguous(x, residual, p["weight"], p["bias"])
    columns = x.shape[-1]
    rows = x.size // max(columns, 1)
    y = xp.empty_like(x)
    means, rstds = xp.empty(rows, "float32"), xp.empty(rows, "float32")
    if rows:
        run = max(1, 1024 // columns)  # as many as one drawing of flags lasts
        launch(x, "add_norm", "add_norm_forward", (-(-rows // (WARPS * run)),), (WARPS * 32,), x, residual, gamma, beta, y, means,
               rstds, rows, columns, eps, run, *drawing(rate, key), **_macros(columns, (x, residual), (gamma, beta)))
    return y, Cache(x, residual, means, rstds, rate, key)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> tuple[Array, Array]:
    """As ``layers.add_norm.backward``."""
    x, residual, means, rstds, rate, key = cache
    xp = get_xp(x)
    x, dy, gamma = contiguous(x, dy, p["weight"])
    columns, rows = x.shape[-1], means.size
    dresidual = xp.empty_like(x)
    dx = xp.empty_like(x) if key is not None and rate else None
    if rows:
        run = max(1, -(-rows // (BLOCKS * WARPS * processors(xp))))  # every warp the same number of rows, and all at work at once
        blocks = -(-rows // (WARPS * run))
        part = xp.empty((blocks, 2 * columns), "float32") if g else None
        in_shared = 2 * columns <= SHARED
        launch(x, "add_norm", "add_norm_backward", (blocks,), (WARPS * 32,), dy, x, residual, gamma, means, rstds, dx, dresidual,
               part, in_shared, rows, columns, run, *drawing(rate, key), shared=2 * columns if in_shared else 0,
               **_macros(columns, (dy, x, residual), (gamma,)))
        if g:
            add_columns(part, g["weight"], g["bias"])
    return (dresidual if dx is None else dx), dresidual


def _macros(columns: int, arrays: tuple[Array | None, ...], parameters: tuple[Array, ...]) -> dict[str, int]:
    """γ and β may lie anywhere in the slab: they are loaded as wide as that allows."""
    wide = width(columns, *arrays)
    return {"WIDTH": wide, "PIECES": pieces(columns, wide), "PARAMETER_WIDTH": min(wide, width(columns, *parameters))}
