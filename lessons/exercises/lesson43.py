"""The exercises of lesson 43, why is it faster, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.numerics import muon
from minibert.training.schedules import SCHEDULES


@exercise("(looks, target, seconds)", look="The equation", level="easy")
def seconds_to_a_loss(answer: Callable[..., Any]) -> None:
    """looks: pairs (step, held-out loss), in order; seconds: of a step. The seconds to the first look whose loss is at most the
    target; None where there is none."""
    looks = [(100, 3.0), (200, 2.1), (300, 2.2), (400, 1.9)]
    expect(answer(looks, 2.1, 0.5) is not None, "a loss that is the target has reached it")
    for target, seconds, right in ((2.1, 0.5, 100.0), (2.15, 2.0, 400.0), (2.0, 0.1, 40.0), (9.0, 1.0, 100.0)):
        close(answer(looks, target, seconds), right, f"target {target}, {seconds} s a step", 1e-9)
    expect(answer(looks, 1.0, 0.5) is None, "nobody got there: None")


@exercise("(u)", look="By hand", level="medium")
def near_orthogonal(answer: Callable[..., Any]) -> None:
    """u: a matrix of any shape. Divide it by its length, and take it through a·x + (b·y + c·y·y)·x with y = x·xᵀ five times;
    (a, b, c) = (3.4445, −4.7750, 2.0315). All zeros stay zeros."""
    rng = np.random.default_rng(43)
    for shape in ((4, 4), (3, 8), (8, 3)):
        u = 100 * rng.standard_normal(shape)
        got, right = answer(u.copy()), muon.orthogonal(u)
        expect(np.shape(got) == shape, f"{shape} goes in, and {np.shape(got)} comes out")
        close(got, right, f"a matrix {shape}", 1e-6)
    close(answer(np.zeros((2, 3))), np.zeros((2, 3)), "zeros")


@exercise("(rows, columns, tokens)", look="What it costs", level="medium")
def share_of_products(answer: Callable[..., Any]) -> None:
    """The operations of Muon's five times for a matrix of so many rows and columns, as a share of those of its forward and
    backward pass over so many tokens. A matrix that is higher than wide is turned over first."""
    for rows, columns, tokens in ((64, 64, 1024), (64, 256, 1024), (3072, 768, 32_768)):
        low, high = sorted((rows, columns))
        right = 5 * (4 * low**2 * high + 2 * low**3) / (6 * rows * columns * tokens)
        got = answer(rows, columns, tokens)
        expect(not np.isclose(got, 3 * right), "a backward pass is two products, so both passes are three")
        expect(rows <= columns or got <= 1.5 * right, "x·xᵀ of the matrix turned over is the smaller one")
        close(got, right, f"{rows} × {columns}, {tokens:,} tokens", 1e-9)


@exercise("(w, g, m, lr)", look="By hand", level="hard")
def muon_step(answer: Callable[..., Any]) -> None:
    """One step of a matrix: the new w and the new m. The momentum is 0.95, g counts once more (Nesterov), a number of the step is
    as large as one of Adam's (0.2·√ of the longer side), and the decay of 0.01 stands beside it."""
    rng = np.random.default_rng(44)
    for shape in ((6, 4), (3, 12)):
        w, m = rng.standard_normal(shape), 0.1 * rng.standard_normal(shape)
        for lr in (0.02, 0.0):
            g = rng.standard_normal(shape)
            mean, u = m.copy(), g.copy()
            muon.direction(u, mean, muon.Muon())
            right = w * (1 - lr * 0.01) - lr * muon.scale(shape, muon.Muon()) * muon.orthogonal(u)
            got = answer(w.copy(), g.copy(), m.copy(), lr)
            expect(isinstance(got, tuple) and len(got) == 2, "return a pair: w and m")
            close(got[1], mean, "m", 1e-9)
            if lr:
                plain = w * (1 - lr * 0.01) - lr * muon.scale(shape, muon.Muon()) * muon.orthogonal(mean)
                expect(not np.allclose(got[0], plain), "the direction is not m alone: g counts once more")
            close(got[0], right, "w", 1e-6)
            w, m = right, mean


@exercise("(step, peak, warmup, total)", look="The schedule", level="medium")
def trapezoid_rate(answer: Callable[..., Any]) -> None:
    """step from 1 to total: up in a line over the first ``warmup``, a share of the steps; then the peak; and over the last fifth
    of the steps down in a line, of which the first step still has the peak, and one step after the last would have 0."""
    for step in (1, 50, 100, 101, 500, 800, 801, 802, 900, 1000):
        right = SCHEDULES["trapezoid"](step, 4e-3, 0.1, 1000)
        close(answer(step, 4e-3, 0.1, 1000), right, f"step {step} of 1,000", 1e-9)
