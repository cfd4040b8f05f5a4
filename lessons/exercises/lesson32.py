"""The exercises of lesson 32, heads and pruning, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.layers import hard_concrete


@exercise("(products, size)", look="Vectorised", level="medium")
def importance_by_batches(answer: Callable[..., Any]) -> None:
    """products (N, T, A) as in the lesson. A script reads the texts in batches of `size`, in their order, and takes the absolute
    value of a gate's slope once for each batch; the last one may be smaller. The answer (A,) is what it adds up, divided by the
    number of texts."""
    rng = np.random.default_rng(321)
    for N, T, A, size in ((6, 3, 4, 2), (7, 5, 2, 3), (5, 2, 3, 1), (4, 3, 2, 9)):
        products = rng.standard_normal((N, T, A))
        gates = products.sum(1)
        right = sum(np.abs(gates[start:start + size].sum(0)) for start in range(0, N, size)) / N
        got = np.asarray(answer(products.copy(), size))
        what = f"{N} texts in batches of {size}"
        expect(got.shape == (A,), f"{what}: expected one number for each head, (A,) = {(A,)}, got {got.shape}")
        if np.allclose(got, right * N):
            raise Wrong(f"{what}: {N} times too large: divide by the number of texts")
        if np.allclose(got, right * N / -(-N // size)) and size > 1:
            raise Wrong(f"{what}: divided by the number of batches")
        if np.allclose(got, np.abs(gates).mean(0)) and size > 1:
            raise Wrong(f"{what}: the texts of a batch cancel; these are those of each text alone")
        if np.allclose(got, np.abs(products).sum((0, 1)) / N):
            raise Wrong(f"{what}: tokens cancel, too; the absolute value comes last")
        close(got, right, what, 1e-9)


@exercise("(importance, count)", look="Close them in order, and in two others", level="medium")
def without_the_least(answer: Callable[..., Any]) -> None:
    """importance (L, A), all numbers different. The answer is gates (L, A): 0 for the `count` least important heads of the whole
    model, 1 for the others."""
    rng = np.random.default_rng(322)
    for L, A, count in ((3, 4, 5), (2, 2, 0), (2, 3, 6), (6, 2, 1)):
        importance = rng.permutation(L * A).reshape(L, A) + 0.5
        right = (importance > count).astype(float)
        got = np.asarray(answer(importance.copy(), count))
        expect(got.shape == (L, A), f"expected gates {(L, A)}, got {got.shape}")
        if 0 < count < L * A and np.array_equal(got, (importance <= count)):
            raise Wrong("a gate of 1 is open: here the least important heads are the only ones that are left")
        if 0 < count < L * A and np.array_equal(got, importance < L * A - count):
            raise Wrong("these are the most important heads: this is the reversed order")
        close(got, right, f"{L} layers of {A} heads, {count} closed")


@exercise("(importance)", look="One head alone, and in company", level="easy")
def one_head_a_layer(answer: Callable[..., Any]) -> None:
    """importance (L, A), all numbers different. The answer is gates (L, A) that leave in every layer its most important head and
    no other."""
    rng = np.random.default_rng(323)
    for L, A in ((3, 4), (1, 6), (5, 1)):
        importance = rng.permutation(L * A).reshape(L, A) + 0.5
        got = np.asarray(answer(importance.copy()))
        expect(got.shape == (L, A), f"expected gates {(L, A)}, got {got.shape}")
        expect((got.sum(1) == 1).all(), f"expected one open head in every layer, got {got.sum(1).tolist()}")
        close(got, np.eye(A)[importance.argmax(1)], f"{L} layers of {A} heads")


@exercise("(a)", look="Gates that learn", level="hard")
def chance_of_one(answer: Callable[..., Any]) -> None:
    """The chance that a hard concrete gate is exactly 1, for an array of numbers a: for which u is 1.2·s − 0.1 at least 1?"""
    u = (np.arange(200_000) + 0.5) / 200_000
    for a in (np.array([0.0]), np.array([-2.0, 0.5, 3.0])):
        got = np.asarray(answer(a.copy()))
        right = np.array([(hard_concrete.forward(np.full(u.shape, x), u)[0][0] == 1).mean() for x in a])
        expect(got.shape == a.shape, f"expected the shape of a, {a.shape}, got {got.shape}")
        if np.allclose(got, hard_concrete.forward(a)[0][1], atol=1e-4):
            raise Wrong("this is the chance to be above 0")
        expect(np.abs(got - right).max() < 1e-4, f"a = {a.tolist()}: expected about {right.round(4).tolist()}, got {got}")


@exercise("(a, price)", look="Gates that learn", level="medium")
def slope_of_the_price(answer: Callable[..., Any]) -> None:
    """The gradient of price·Σ p(gate is open) with respect to a, in the shape of a."""
    rng = np.random.default_rng(325)
    for shape, price in (((6,), 1.0), ((3, 4), 0.1)):
        a = 2 * rng.standard_normal(shape)
        (_, opened), cache = hard_concrete.forward(a)
        got = np.asarray(answer(a.copy(), price))
        expect(got.shape == shape, f"expected the shape of a, {shape}, got {got.shape}")
        if np.allclose(got, price * opened):
            raise Wrong("this is the price itself, of each gate; asked for is its slope")
        if price != 1 and np.allclose(got, opened * (1 - opened)):
            raise Wrong("the price is missing")
        close(got, hard_concrete.backward(0.0 * a, cache, price), f"a {shape}, price {price}", 1e-9)
