"""The exercises of lesson 36, large batches, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.numerics import lamb
from minibert.training.schedules import SCHEDULES


@exercise("(lr, batch, larger)", look="The equation", level="easy")
def both_rules(answer: Callable[..., Any]) -> None:
    """lr suits steps of ``batch`` examples. What do the linear rule and the square-root rule take for ``larger``? A pair."""
    for lr, batch, larger in ((1e-4, 256, 8192), (0.01, 8, 8), (0.003, 16, 4096)):
        got = answer(lr, batch, larger)
        expect(isinstance(got, tuple) and len(got) == 2, "return a pair: linear, square root")
        expect(larger == batch or not np.isclose(got[0], lr * (larger / batch) ** 0.5), "the linear rule comes first")
        close(got[0], lr * larger / batch, "the linear rule", 1e-9)
        close(got[1], lr * (larger / batch) ** 0.5, "the square-root rule", 1e-9)


@exercise("(w, u)", look="By hand", level="medium")
def trust_ratio(answer: Callable[..., Any]) -> None:
    """The ratio of a tensor w, of any shape, with the direction u. 1 where either is all zeros."""
    rng = np.random.default_rng(36)
    for w, u in ((rng.standard_normal((3, 4)), rng.standard_normal((3, 4))), (np.zeros(5), np.ones(5)),
                 (np.ones(5), np.zeros(5))):
        got = answer(w, u)
        expect(np.shape(got) == (), "one number for the whole tensor")
        right = lamb.ratio((w**2).sum(), (u**2).sum(), np)
        close(got, right, f"‖w‖ = {np.linalg.norm(w):.3f}, ‖u‖ = {np.linalg.norm(u):.3f}", 1e-9)


@exercise("(gradients, counts)", look="A step of any size, in pieces", level="medium")
def whole_gradient(answer: Callable[..., Any]) -> None:
    """gradients (N, n): for each piece the gradient of *its own mean* loss; counts (N,): its targets. The gradient (n,) of the
    mean over all targets of the step."""
    rng = np.random.default_rng(37)
    gradients, counts = rng.standard_normal((4, 6)), np.array([1, 40, 7, 2])
    got = answer(gradients.copy(), counts.copy())
    if np.shape(got) == (6,):
        expect(not np.allclose(got, gradients.mean(0)), "the mean of the means: one target would count as much as 40")
        expect(not np.allclose(got, gradients.sum(0)), "the sum of the means grows with the number of pieces")
    close(got, counts @ gradients / counts.sum(), "the gradient", 1e-9)


@exercise("(step, peak, warmup, total)", look="Warm-up, and a jump", level="hard")
def square_root_rate(answer: Callable[..., Any]) -> None:
    """NVIDIA's schedule: step from 1 to total; ``warmup`` is a share of the steps, in which the rate rises from 0; then the root
    of the share of *all* steps that is left."""
    for step in (1, 1000, 2000, 2001, 5000, 7038):
        right = SCHEDULES["square-root"](step, 6e-3, 0.2843, 7038)
        got = answer(step, 6e-3, 0.2843, 7038)
        if step > 2000:
            left = (1 - step / 7038) / (1 - 0.2843)
            expect(step == 7038 or not np.isclose(got, 6e-3 * left**0.5), f"step {step}: count from the first step of all")
        close(got, right, f"step {step}", 1e-9)
