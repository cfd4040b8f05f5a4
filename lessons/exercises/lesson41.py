"""The exercises of lesson 41, which heads can go, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.compression import cutting


@exercise("(heads, D)", look="Toy numbers", level="easy")
def columns_of_heads(answer: Callable[..., Any]) -> None:
    """heads: numbers of heads, from 0 on, each of D numbers. A list of the columns of the output matrix that are theirs."""
    for heads, size in (([0], 3), ([1, 3], 2), ([], 4), ([2, 0], 1)):
        right = [head * size + i for head in heads for i in range(size)]
        got = [int(column) for column in answer(list(heads), size)]
        expect(sorted(got) == sorted(right), f"heads {heads} of {size} numbers: {right}, got {got}")


@exercise("(query, output, gone, D)", look="Really gone", level="medium")
def without_heads(answer: Callable[..., Any]) -> None:
    """query (A·D, H) and output (H, A·D), as in the library: two matrices without the heads whose numbers are in ``gone``."""
    rng = np.random.default_rng(411)
    for hidden, heads, size, gone in ((6, 3, 2, [1]), (8, 4, 2, [0, 3]), (4, 2, 2, [])):
        query, output = rng.standard_normal((heads * size, hidden)), rng.standard_normal((hidden, heads * size))
        keep = np.repeat([head not in gone for head in range(heads)], size)
        got = answer(query.copy(), output.copy(), list(gone), size)
        expect(len(got) == 2, "two matrices are asked for")
        if np.shape(got[1]) == (int(keep.sum()), heads * size) != output[:, keep].shape:
            raise Wrong("of the output matrix, heads are columns: it is (out, in), and it reads the heads")
        close(got[0], query[keep], f"queries without {gone} of {heads} heads", 1e-9)
        close(got[1], output[:, keep], f"the output matrix without {gone} of {heads} heads", 1e-9)


@exercise("(importance, count)", look="Really gone", level="hard")
def who_goes(answer: Callable[..., Any]) -> None:
    """importance (L, A), all numbers different. (L, A) of True and False: which heads go, ``count`` in all, the least important
    first, where the last head of a layer stays and the next in the order goes in its place."""
    rng = np.random.default_rng(412)
    cases = [(np.array([[1.0, 2.0], [3.0, 4.0]]), 2), *((rng.permutation(12).reshape(3, 4) + 0.5, count) for count in (0, 5, 9))]
    for importance, count in cases:
        right = np.array(cutting.goers(list(importance), count))
        got = np.asarray(answer(importance.copy(), count))
        if got.shape == right.shape and got.all(1).any():
            raise Wrong(f"{importance.tolist()}, {count} of them: a layer has lost all of its heads")
        expect(np.array_equal(got, right), f"{importance.tolist()}, {count} of them: {right.tolist()}, got {got.tolist()}")


@exercise("(T, H, D)", look="Really gone", level="medium")
def products_of_a_head(answer: Callable[..., Any]) -> None:
    """How many multiplications one head costs for a text of T tokens: its share of the matrices of queries, keys, values and of
    the output, and its scores and its weighted sum."""
    for T, H, D in ((5, 8, 2), (128, 768, 64), (1, 4, 4)):
        got, right = answer(T, H, D), 4 * T * H * D + 2 * T * T * D
        if got == right - 2 * T * T * D:
            raise Wrong("scores and weighted sum are missing: T·T·D each")
        close(got, right, f"T {T}, H {H}, D {D}", 1e-9)
