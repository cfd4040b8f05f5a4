"""The exercises of lesson 39, replace as you go, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.compression.theseus import Schedule


@exercise("(step, first, steps)", look="The equation", level="easy")
def rate_of_replacing(answer: Callable[..., Any]) -> None:
    """It rises in a line: ``first`` after 0 steps, 1 after so many ``steps``, and it stays there."""
    for first, steps in ((0.3, 100), (0.5, 7), (1.0, 10)):
        for step in (0, 1, steps // 2, steps - 1, steps, 3 * steps):
            right = Schedule(first, steps).at(step)
            close(answer(step, first, steps), right, f"after {step} of {steps} steps, from {first}", 1e-9)


@exercise("(drawn, each)", look="Toy numbers", level="easy")
def layers_of_a_step(answer: Callable[..., Any]) -> None:
    """drawn: for each place, is it replaced? A list of what the model of this step is made of: ``"s1"`` for layer 1 of the
    successor, a number for a layer of the predecessor, which has ``each`` for each place."""
    for drawn, each, right in (((True, False, True), 2, ["s0", 2, 3, "s2"]), ((False,), 3, [0, 1, 2]),
                               ((False, True), 1, [0, "s1"]), ((True, True), 4, ["s0", "s1"])):
        got = list(answer(drawn, each))
        expect(got == right, f"drawn {drawn}, {each} for each place: {right}, got {got}")


@exercise("(x, old, new, drawn)", look="The equation", level="medium")
def mixed_forward(answer: Callable[..., Any]) -> None:
    """x goes through the model of a step. old and new: lists of functions; each of ``new`` takes the place of as many of
    ``old``."""
    rng = np.random.default_rng(39)
    a, b = rng.standard_normal((4, 3, 3)), rng.standard_normal((2, 3, 3))
    old, new = [lambda x, w=w: np.tanh(x @ w) for w in a], [lambda x, w=w: np.tanh(x @ w) for w in b]
    x = rng.standard_normal((2, 3))
    for drawn, order in (((True, True), (b[0], b[1])), ((False, True), (a[0], a[1], b[1])), ((True, False), (b[0], a[2], a[3]))):
        y = x
        for w in order:
            y = np.tanh(y @ w)
        close(answer(x.copy(), old, new, drawn), y, f"drawn {drawn}", 1e-9)


@exercise("(gradients, learns, largest, over_all)", look="What a tutorial often says, and what is so", level="hard")
def clipped(answer: Callable[..., Any]) -> None:
    """gradients: name -> array; learns: the names that an optimiser holds. The gradients of these, scaled so that the norm is at
    most ``largest``: over all tensors where ``over_all``, as the paper's code does, else over those that learn."""
    rng = np.random.default_rng(40)
    gradients = {name: rng.standard_normal(5) for name in ("embeddings", "old", "new")}
    for over_all, largest in ((False, 1.0), (True, 1.0), (False, 100.0), (True, 100.0)):
        counted = gradients if over_all else {"new": gradients["new"]}
        norm = np.sqrt(sum((g**2).sum() for g in counted.values()))
        got = answer({name: g.copy() for name, g in gradients.items()}, {"new"}, largest, over_all)
        expect(set(got) == {"new"}, "only what learns is returned")
        close(got["new"], gradients["new"] * min(1.0, largest / norm), f"largest {largest}, over all: {over_all}", 1e-6)
