"""Exercises of lesson 12: steps, clipping and the schedule."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.training import adamw


@exercise("(p, g, m, lr)", look="The equation: from SGD to AdamW on one page", level="easy")
def momentum_step(answer):
    """One step with momentum 0.9. p, g, m: arrays of one shape. Return the new (p, m)."""
    rng = np.random.default_rng(0)
    p, g, m = (rng.standard_normal((2, 3)) for _ in range(3))
    kept = [x.copy() for x in (p, g, m)]
    got = answer(*(x.copy() for x in kept), 0.1)
    expect(isinstance(got, tuple) and len(got) == 2, "return two arrays: the new p and the new m")
    expect(np.shape(got[1]) != m.shape or not np.allclose(got[1], 0.9 * m + 0.1 * g),
           "m: here the gradient is added whole; the factor 0.1 belongs to Adam")
    expect(np.shape(got[0]) != p.shape or not np.allclose(got[0], p - 0.1 * m), "p moves along the old m; renew m first")
    close(got[1], 0.9 * m + g, "m", 1e-9)
    close(got[0], p - 0.1 * (0.9 * m + g), "p", 1e-9)


@exercise("(p, g, m, v, lr, step, decay)", look="By hand: plain loops", level="medium")
def adamw_step(answer):
    """One step of AdamW with β₁ = 0.9, β₂ = 0.999, ε = 1e-6 and bias correction; step is its number (from 1), decay is λ.
    Return the new (p, m, v)."""
    rng = np.random.default_rng(1)
    for step in (1, 7):
        p, g, m = (rng.standard_normal(6) for _ in range(3))
        v = rng.random(6)
        if step == 1:
            m, v = 0 * m, 0 * v
            g[0] = 1e-6  # here ε counts
        right, other = [p.copy(), m.copy(), v.copy()], {}
        constants = adamw.AdamW(weight_decay=0.5)
        adamw.update(right[0], g.copy(), *right[1:], 0.1, step, True, constants)
        for name, changed, decay in (("the bias correction is missing", constants._replace(bias_correction=False), True),
                                     ("the decay is missing", constants, False),
                                     ("ε = 1e-8 was used; 1e-6 is asked for", constants._replace(epsilon=1e-8), True)):
            wrong = [p.copy(), m.copy(), v.copy()]
            adamw.update(wrong[0], g.copy(), *wrong[1:], 0.1, step, decay, changed)
            other[name] = wrong[0]
        inside = [p.copy(), m.copy(), v.copy()]
        adamw.update(inside[0], g + 0.5 * p, *inside[1:], 0.1, step, False, constants)
        other["the decay went into the gradient; it stands beside the division by √v̂"] = inside[0]
        got = answer(p.copy(), g.copy(), m.copy(), v.copy(), 0.1, step, 0.5)
        expect(isinstance(got, tuple) and len(got) == 3, "return three arrays: the new p, m and v")
        for name, wrong in other.items():
            if np.shape(got[0]) == p.shape and not np.allclose(got[0], right[0], rtol=1e-9, atol=0):
                expect(not np.allclose(got[0], wrong, rtol=1e-9, atol=0), f"step {step}: {name}")
        for value, wanted, name in zip((got[1], got[2], got[0]), (right[1], right[2], right[0]), ("m", "v", "p")):
            close(value, wanted, f"step {step}: {name}", 1e-9)


@exercise("(gradients, limit)", look="Gradient clipping", level="medium")
def clip(answer):
    """gradients: a dict of arrays. If all of them together, as one long vector, are longer than limit, scale all down to that
    length. Return a new dict."""
    rng = np.random.default_rng(2)
    large = {"a": 3 * rng.standard_normal((2, 3)), "b": 0.1 * rng.standard_normal(4)}
    kept = {k: x.copy() for k, x in large.items()}
    norm = np.sqrt(sum((x**2).sum() for x in large.values()))
    got = answer(large, 1.0)
    expect(isinstance(got, dict) and got.keys() == large.keys(), "return a dict with the same names")
    expect(all(np.array_equal(large[k], kept[k]) for k in kept), "the given arrays are changed after the call: make new ones")
    if np.shape(got["b"]) == (4,):
        expect(not np.allclose(got["b"], kept["b"]), "b was left alone: all arrays are scaled by one factor")
        expect(not np.allclose(got["b"], kept["b"] / np.linalg.norm(kept["b"])), "each array was clipped by itself")
    for k in kept:
        close(got[k], kept[k] / norm, k, 1e-5)
    small = {"a": np.full((2, 2), 0.1), "b": np.zeros(3)}
    for k, x in answer(small, 1.0).items():
        close(x, small[k], f"{k} of a short gradient (it is shorter than the limit: leave it)", 1e-9)
    for k, x in answer({k: np.zeros(2) for k in "ab"}, 1.0).items():
        close(x, np.zeros(2), f"{k} of a gradient of zeros", 1e-9)


@exercise("(step, peak, warmup, total)", look="Warm-up and the schedule", level="medium")
def rate(answer):
    """The learning rate of BERT's schedule. step counts from 1; the peak is reached at step warmup; then it falls in a straight
    line that would reach 0 at step total + 1. warmup may be 0."""
    for step, warmup, total in ((1, 10, 100), (5, 10, 100), (10, 10, 100), (11, 10, 100), (55, 10, 100), (100, 10, 100),
                                (1, 0, 8), (8, 0, 8)):
        close(answer(step, 0.02, warmup, total), adamw.learning_rate(step, 0.02, warmup, total),
              f"step {step} of {total}, {warmup} of warm-up", 1e-9)


@exercise("", look="Bias correction, and its absence in the reference", level="hard")
def worst_factor(answer):
    """Somebody runs Adam with β₁ = 0.9 and β₂ = 0.98 without the bias correction. The gradient is steady.
    By how much are the steps too large at most, at whatever step that is? (Three digits.)"""
    step = np.arange(1, 5000)
    factor = (1 - 0.9**step) / np.sqrt(1 - 0.98**step)
    expect(np.shape(answer) == (), "expected one number")
    expect(not np.isclose(answer, factor[0], rtol=2e-3), "this is the factor at the first step; it is larger later")
    expect(not np.isclose(answer, ((1 - 0.9**step) / np.sqrt(1 - 0.999**step)).max(), rtol=2e-3), "this is for β₂ = 0.999")
    expect(not np.isclose(answer, float(np.argmax(factor) + 1)), "this is the step; its factor is asked for")
    close(answer, factor.max(), "the factor", 2e-3)
