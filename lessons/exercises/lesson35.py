"""The exercises of lesson 35, restoring order, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.tasks.segments.reordering import ORDERS
from minibert.tasks.segments.three_ways import NEXT, PREVIOUS, RANDOM


@exercise("(counts)", look="Toy numbers", level="easy")
def nats_of_orders(answer: Callable[..., Any]) -> None:
    """counts: how often each of some different words occurs. The nats of saying in which order they all stand, where the same
    words are not told apart. Examples: [1, 1, 1] gives ln 6, [2, 1] gives ln 3."""
    for counts in ([1, 1, 1], [2, 1], [4], [1] * 8, [2, 2, 1]):
        factorials = [float(np.prod(np.arange(1, count + 1))) for count in (sum(counts), *counts)]
        right, got = float(np.log(factorials[0] / np.prod(factorials[1:]))), answer(list(counts))
        if max(counts) > 1 and np.isclose(got, np.log(factorials[0])):
            raise Wrong(f"{counts}: two of the same word in each other's place are the same order")
        close(got, right, f"{counts}", 1e-9)


@exercise("(scores)", look="The equation", level="medium")
def chances_of_orders(answer: Callable[..., Any]) -> None:
    """scores (N,): ln p of a text in each of its N orders. The chance of each order, (N,), where one of them is the text's.
    Such logarithms may be -1000 and less."""
    rng = np.random.default_rng(35)
    for scores in (np.log([0.1, 0.2, 0.1]), rng.normal(-40, 3, 6), rng.normal(-2000, 3, 6), np.array([-7.0])):
        got = np.array(answer(scores.copy()), float)
        if not np.isfinite(got).all():
            raise Wrong("exp of such a number is 0, and 0/0 is nothing: take the largest score off all of them first")
        shares = np.exp(scores - scores.max())
        close(got, shares / shares.sum(), "the chances", 1e-9)


@exercise("(a, b)", look="Which text comes first?", level="easy")
def three_ways_of(answer: Callable[..., Any]) -> None:
    """a, b: sentences, each as (document, number in it); b is a neighbour of a, or from another document. StructBERT's answer:
    0, 1 or 2."""
    cases = [((0, 3), (0, 4), NEXT), ((0, 3), (0, 2), PREVIOUS), ((0, 3), (1, 4), RANDOM), ((5, 0), (5, 1), NEXT)]
    for a, b, right in cases:
        got = answer(a, b)
        expect(got == right, f"{a}, {b}: expected {right}, got {got}" + ", a number of another document says nothing" *
               (right == RANDOM and got in (NEXT, PREVIOUS)))


@exercise("(parts, number)", look="Toy numbers", level="hard")
def put_back(answer: Callable[..., Any]) -> None:
    """parts: those of a text as they stand, up to three; number: their class among ERNIE 2.0's nine (lesson 34), whose order says
    *which part of the text stands at each place*. The parts as they stood in the text, a list.
    Example: ["c", "a", "b"] with the class of (2, 0, 1) gives ["a", "b", "c"]."""
    for number, order in enumerate(ORDERS):
        text = ["first", "second", "third"][:len(order)]
        shown = [text[part] for part in order]
        got = list(answer(list(shown), number))
        if got != text and got == [shown[part] for part in order]:
            raise Wrong(f"class {number}: the order was taken once more; it has to be undone")
        expect(got == text, f"{shown}, class {number}, {order}: expected {text}, got {got}")
    assert len(ORDERS) == sum(len([*permutations(range(n))]) for n in (1, 2, 3))
