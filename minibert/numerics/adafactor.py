"""Adafactor's step: for the squares of a matrix's gradient, one number for each row and one for each column.

::

    G ← g² + ε₁          β ← 1 - t^-0.8, so that the first step knows no zeros and later ones forget ever more slowly
    R ← β·R + (1-β)·mean of G along each row         C ← β·C + (1-β)·mean along each column
    u ← g/√(R·C/mean(R))                             the one matrix of rank 1 that has these means; g/√V for a vector
    u ← u/max(1, RMS(u)/d)                           no update is longer than d in the mean square
    p ← p - α·(u + λ·p)          α = lr·max(ε₂, RMS(p)): a share of the tensor's size; ``scaled=False``: lr itself

Adam keeps two numbers for every number of a matrix of n by m, this n + m of all of them, and no mean of the gradient. A tensor of
more axes is the matrix of its first axis by all others.

transformers' ``Adafactor`` takes the same step of a matrix or a vector. ``torch.optim.Adafactor`` has no ε₁ in G, always scales,
never lets lr exceed 1/√t, and its decay is lr·λ·p, without the scale.

Source: Shazeer and Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (arXiv 1804.04235), algorithms 4
and 5, without the optional β₁. Its relative step, min(1e-2, 1/√t), is the schedule ``inverse-square-root`` with a peak of 1e-2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from minibert.backend import Array, get_xp
from minibert.numerics.rows import down, total

Shapes = Mapping[str, tuple[int, ...]]


class Adafactor(NamedTuple):
    """The constants. The learning rate comes with every step."""

    epsilon: float = 1e-30  # ε₁
    smallest: float = 1e-3  # ε₂, of a scale
    longest: float = 1.0  # d, of an update
    forgets: float = 0.8
    scaled: bool = True
    weight_decay: float = 0.01


def kept(shapes: Shapes) -> dict[str, Shapes]:
    """What is kept of tensors of these shapes: means of the rows and of the columns of matrices, and the squares of vectors."""
    matrices = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    return {"rows": {name: shape[:1] for name, shape in matrices.items()},
            "columns": {name: (prod(shape[1:]),) for name, shape in matrices.items()},
            "squares": {name: shape for name, shape in shapes.items() if name not in matrices}}


def sums(g: Array, start: int, sizes: Sequence[int]) -> list[Array]:
    """What a piece of a gradient adds to the sums of its squares. g ``(N,)``, from number ``start`` of its tensor on.

    ``sizes``: (n, m) of a matrix: the sums of its rows ``(n,)`` and of its columns ``(m,)``; (n,) of a vector: its squares.
    """
    xp, columns = get_xp(g), sizes[1] if len(sizes) > 1 else 1
    first, last = start // columns, -(-(start + len(g)) // columns)  # the rows that it touches
    squares = xp.zeros((last - first) * columns, g.dtype)
    squares[start - first * columns:][:len(g)] = g * g
    squares = squares.reshape(last - first, columns)
    found = xp.zeros(sizes[0], g.dtype)
    found[first:last] = total(squares)[:, 0]
    return [found, down(squares)] if len(sizes) > 1 else [found]


def follow(means: Sequence[Array], added: Sequence[Array], step: Array | int, constants: Adafactor) -> list[Array]:
    """R and C, or V, after a step, in place; ``added``: the sums of all pieces. Returns by what g is multiplied: of each row and
    of each column, or of each number."""
    new, whole = step**-constants.forgets, prod(len(mean) for mean in means)
    for mean, one in zip(means, added):
        mean += (new * (one * (len(mean) / whole) + constants.epsilon - mean)).astype(mean.dtype)
    if len(means) == 1:
        return [means[0] ** -0.5]
    rows, columns = means
    return [(rows / rows.mean()) ** -0.5, columns**-0.5]


def direct(g: Array, start: int, factors: Sequence[Array]) -> Array:
    """A piece ``(N,)`` of a gradient becomes u before it is cut. Its Σu², ()."""
    if len(factors) == 1:
        g *= factors[0][start:start + len(g)]
    else:
        rows, columns = factors
        first, last = start // len(columns), -(-(start + len(g)) // len(columns))
        g *= rows[first:last].repeat(len(columns))[start - first * len(columns):][:len(g)]
        g *= get_xp(g).tile(columns, last - first)[start - first * len(columns):][:len(g)]
    return get_xp(g).dot(g, g)


def rates(p2: Array, u2: Array, size: int, lr: Array | float, constants: Adafactor, xp: Any) -> tuple[Array | float, Array]:
    """α of a tensor of ``size`` numbers, and what u is to be multiplied by, from Σp² and Σu², numbers () of ``xp``."""
    alpha = lr * xp.maximum(constants.smallest, (p2 / size) ** 0.5) if constants.scaled else lr
    return alpha, alpha / xp.maximum(1.0, (u2 / size) ** 0.5 / constants.longest)
