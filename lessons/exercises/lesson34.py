"""The exercises of lesson 34, what else to ask, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.tasks.corruption import units
from minibert.tasks.segments.reordering import ORDERS


@exercise("(longest)", look="Toy numbers", level="easy")
def ngram_chances(answer: Callable[..., Any]) -> None:
    """The chances of n = 1, 2, … longest, proportional to 1/n. Example: 3 gives 6/11, 3/11, 2/11."""
    for longest in (3, 1, 2, 5):
        right, got = 1 / np.arange(1, longest + 1), np.array(answer(longest), float)
        expect(got.shape == (longest,), f"{longest}: expected {longest} chances, got {got.shape}")
        if longest > 1 and np.allclose(got, right):
            raise Wrong(f"{longest}: chances add up to 1, these to {got.sum():.3f}")
        close(got, right / right.sum(), f"{longest}", 1e-9)


@exercise("(lengths, order, budget)", look="The equation", level="medium")
def words_that_fit(answer: Callable[..., Any]) -> None:
    """lengths: tokens of each word; order: in which words come; budget: of tokens. The words that are chosen, in that order: one
    that exceeds what is left of the budget is passed over. Example: [3, 1, 2], [0, 1, 2], 3 gives [0]."""
    rng = np.random.default_rng(34)
    cases = [([3, 1, 2], [0, 1, 2], 3), ([3, 1, 2], [1, 0, 2], 3), ([30], [0], 20), ([], [], 4)]
    cases += [(rng.integers(1, 5, 12).tolist(), rng.permutation(12).tolist(), int(rng.integers(1, 15))) for _ in range(20)]
    for lengths, order, budget in cases:
        right, got = units.fitting(lengths, order, budget), list(answer(list(lengths), list(order), budget))
        if got != right and sum(lengths[i] for i in got) > budget:
            raise Wrong(f"{lengths}, {order}, {budget}: {got} are more tokens than the budget allows")
        if got != right and right[:len(got)] == got:
            raise Wrong(f"{lengths}, {order}, {budget}: behind a word that is passed over another may fit: {right}, got {got}")
        expect(got == right, f"{lengths}, {order}, {budget}: expected {right}, got {got}")


@exercise("(order)", look="Toy numbers", level="medium")
def class_of(answer: Callable[..., Any]) -> None:
    """The number of an order of up to three parts among all nine: first the order of one part, then those of two, then of three,
    each as ``itertools.permutations`` lists them. Examples: (0,) gives 0, (1, 0) gives 2, (0, 1, 2) gives 3."""
    for order in ORDERS:
        got = answer(tuple(order))
        if got == [*permutations(range(len(order)))].index(order) and len(order) > 1:
            raise Wrong(f"{order}: the orders of fewer parts come first")
        expect(got == ORDERS.index(order), f"{order}: expected {ORDERS.index(order)}, got {got}")


@exercise("(before, after, hidden)", look="Three words in another order", level="hard")
def moved_places(answer: Callable[..., Any]) -> None:
    """before, after: the tokens of a text, and what the model sees of it; hidden: the places that masking asks for, where the
    tokens may differ too. The places that the question about order asks for, in ascending order.
    Example: [7, 8, 7, 9], [7, 7, 8, 0], [3] gives [1, 2]."""
    rng = np.random.default_rng(34)
    cases = [([7, 8, 7, 9], [7, 7, 8, 0], [3]), ([5, 5, 5], [5, 5, 5], []), ([1, 2, 3], [3, 1, 2], [])]
    for _ in range(20):
        before, hidden = rng.integers(1, 6, 12), sorted(rng.choice(12, 3, replace=False).tolist())
        after = before.copy()
        free = [i for i in range(12) if i not in hidden][:3]
        after[free] = after[rng.permutation(free)]
        after[hidden] = 0
        cases.append((before.tolist(), after.tolist(), hidden))
    for before, after, hidden in cases:
        right = [i for i, (a, b) in enumerate(zip(before, after)) if a != b and i not in hidden]
        got = [int(i) for i in answer(list(before), list(after), list(hidden))]
        if got != right and {*got} & {*hidden}:
            raise Wrong(f"{before}, {after}, {hidden}: what is hidden is asked for already")
        expect(got == right, f"{before}, {after}, {hidden}: expected {right}, got {got}")
