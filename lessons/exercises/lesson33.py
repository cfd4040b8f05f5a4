"""The exercises of lesson 33, numbers and polarity, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.analysis import polarity


@exercise("(values)", look="Toy numbers", level="easy")
def error_of_the_mean(answer: Callable[..., Any]) -> None:
    """The root mean squared error of whoever guesses the mean of these numbers each time. Example: [1, 2, 6] gives 2.16."""
    for values in ([1, 2, 6], [4.0], list(range(100)), [-3, 3]):
        right, got = float(np.std(values)), float(answer(list(values)))
        if len(values) > 2 and np.isclose(got, np.std(values, ddof=1)):
            raise Wrong(f"{values[:5]}: the mean of the squares has as many terms as there are numbers, {len(values)}")
        if right and np.isclose(got, right**2):
            raise Wrong(f"{values[:5]}: the root is missing")
        close(got, right, f"{values[:5]}", 1e-9)


@exercise("(values)", look="A plain loop: least squares, one number left out", level="medium")
def error_of_one_hot(answer: Callable[..., Any]) -> None:
    """Each number is guessed by a straight line through all others, and its vector is a one-hot vector of its own. Which RMSE has
    that? No line needs to be fitted. Example: [0, 3] gives 3."""
    for values in ([0, 3], [1, 2, 6], list(range(20))):
        others = [(sum(values) - value) / (len(values) - 1) for value in values]
        right = float(np.sqrt(np.mean((np.array(others) - values) ** 2)))
        got = float(answer(list(values)))
        if np.isclose(got, np.std(values)):
            raise Wrong(f"{values[:5]}: the line has not seen the number that is guessed; which mean does it know?")
        close(got, right, f"{values[:5]}", 1e-9)


@exercise("(truth, guess)", look="The equation", level="medium")
def matthews(answer: Callable[..., Any]) -> None:
    """Matthews correlation of two lists of True and False; 0 where one of them is all the same.
    Example: [True, True, False, False] and [True, False, False, False] give 0.577."""
    rng = np.random.default_rng(33)
    cases = [([True, True, False, False], [True, False, False, False]), ([True] * 3, [True, False, True]),
             ([True, False], [False, True])]
    cases += [(rng.random(30) < 0.6, rng.random(30) < 0.4) for _ in range(5)]
    for truth, guess in cases:
        truth, guess = [bool(x) for x in truth], [bool(x) for x in guess]
        got = float(answer(truth, guess))
        expect(np.isfinite(got), f"{truth[:4]} and {guess[:4]}: expected a number, got {got}")
        close(got, polarity.mcc(truth, guess), f"{truth[:4]} and {guess[:4]}", 1e-9)


@exercise("(sentences)", look="Paradigms: eight sentences", level="hard")
def minimal_pairs_of(answer: Callable[..., Any]) -> None:
    """sentences: a list of triples (licensor, scope, item) of True and False. All pairs (good, bad), as places in the list, of
    which good is acceptable, bad is not, and that differ in exactly one of the three; in any order.
    Example: [(True, True, True), (True, False, True), (False, False, False)] gives [(0, 1)]."""
    every = list(product([True, False], repeat=3))
    for sentences in ([(True, True, True), (True, False, True), (False, False, False)], every, every[::-1], every[2:6], []):
        fine = [not item or (licensor and scope) for licensor, scope, item in sentences]
        right = {(i, k) for i, one in enumerate(sentences) for k, other in enumerate(sentences)
                 if fine[i] and not fine[k] and sum(a != b for a, b in zip(one, other)) == 1}
        got = {tuple(pair) for pair in answer(list(sentences))}
        more, missing = got - right, right - got
        if more and {(k, i) for i, k in more} <= right:
            raise Wrong("the acceptable sentence comes first in a pair")
        expect(not more, f"{sentences}: {sorted(more)[:3]} are no minimal pairs")
        expect(not missing, f"{sentences}: {sorted(missing)[:3]} are missing")
