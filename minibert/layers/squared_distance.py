"""The squared distance between all vectors of two rows: ``d[i, j] = ‖x_i - y_j‖² = ‖x_i‖² + ‖y_j‖² - 2·x_i·y_j``.

Backward::

    ∂d[i, j]/∂x_i = 2·(x_i - y_j)      so    dx_i = 2·(x_i·Σ_j dd[i, j] - Σ_j dd[i, j]·y_j)
    ∂d[i, j]/∂y_j = 2·(y_j - x_i)      so    dy_j = 2·(y_j·Σ_i dd[i, j] - Σ_i dd[i, j]·x_i)

With x = y each vector stands on both sides, and its gradient is the sum of both.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.numerics.rows import total


class Cache(NamedTuple):
    x: Array  # (..., T, R)
    y: Array  # (..., S, R)


def forward(x: Array, y: Array) -> tuple[Array, Cache]:
    """x ``(..., T, R)``, y ``(..., S, R)`` -> d ``(..., T, S)``."""
    d = total(x * x) + total(y * y).swapaxes(-1, -2)
    d -= 2 * (x @ y.swapaxes(-1, -2))
    return d.astype(x.dtype, copy=False), Cache(x, y)


def backward(dd: Array, cache: Cache) -> tuple[Array, Array]:
    """dd ``(..., T, S)`` -> dx ``(..., T, R)`` and dy ``(..., S, R)``."""
    x, y = cache
    across = dd.swapaxes(-1, -2)
    return 2 * (dd.sum(-1)[..., None] * x - dd @ y), 2 * (across.sum(-1)[..., None] * y - across @ x)
