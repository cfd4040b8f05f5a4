"""Embedding: a lookup, ``y = W[ids]``.

A lookup is a product with a one-hot matrix, ``y = onehot(ids)·W``, done without the multiplications. Its backward is
therefore ``dW = onehot(ids)ᵀ·dy``: row v of dW is the **sum** of dy over all places where ``ids == v``. Words repeat, so
``g[ids] += dy`` would be wrong: NumPy reads, adds and writes once per index, and of repeated ids the last one wins.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.kernels import twin
from minibert.parameters import Shapes, Tree


class Cache(NamedTuple):
    ids: Array  # (...) integers


def shapes(rows: int, size: int) -> Shapes:
    """The table."""
    return {"weight": (rows, size)}


def forward(ids: Array, p: Tree) -> tuple[Array, Cache]:
    """ids ``(...)`` of any integer type, each in [0, V) -> y ``(..., H)``. ``p``: weight ``(V, H)``."""
    return p["weight"].take(ids, axis=0), Cache(ids)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> None:
    """dy ``(..., H)``; adds to ``g["weight"]``. Ids are whole numbers: there is no gradient to return."""
    (ids,) = cache
    if g:
        add_rows(g["weight"], ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))


@twin
def add_rows(table: Array, ids: Array, rows: Array) -> None:
    """``table[ids[n]] += rows[n]`` for every n, repeated ids summed. table ``(V, H)``, ids ``(N,)``, rows ``(N, H)``.

    Rows of equal id are brought together by a stable sort and summed as one segment each: the order of the sum is fixed,
    so the result is the same on every run.
    """
    if not ids.size:
        return
    xp = get_xp(rows)
    order = ids.argsort(kind="stable")
    ids = ids[order]
    first = xp.flatnonzero(xp.concatenate([ids[:1] >= 0, ids[1:] != ids[:-1]]))  # where each new id begins
    table[ids[first]] += xp.add.reduceat(widen(rows)[order], first, axis=0)
