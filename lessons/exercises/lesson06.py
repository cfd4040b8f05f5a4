"""Exercises of lesson 6: layer normalisation, its gradient, and a relative of it."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.layers import layernorm


@exercise("(x, gamma, beta, eps=1e-12)", look="The equation", level="easy")
def layer_norm(answer):
    """y = γ·x̂ + β for x (B, T, H), gamma and beta (H,). Return y."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5)) * 3 + 1
    gamma, beta = rng.uniform(0.5, 2, 5), rng.standard_normal(5)
    before = x.copy()
    p = {"weight": gamma, "bias": beta}
    got = answer(x, gamma, beta)
    expect(np.array_equal(x, before), "x is changed after the call: subtract into a new array")
    expected, _ = layernorm.forward(x, p)
    sample = gamma * (x - x.mean(-1, keepdims=True)) / x.std(-1, ddof=1, keepdims=True) + beta
    if np.shape(got) == x.shape:
        expect(not np.allclose(got, sample, rtol=1e-6), "the variance is divided by H - 1; layer norm divides by H")
        for axes, name in (((0, 1), "tokens and sentences"), ((1,), "the tokens of a sentence"), ((0, 1, 2), "everything")):
            wrong = gamma * (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True) + beta
            expect(not np.allclose(got, wrong, rtol=1e-6), f"the means run over {name}; they run over the last axis only")
    close(got, expected, "y", 1e-9)
    flat = np.full((1, 2, 5), 3.0)
    with np.errstate(all="ignore"):
        close(answer(flat, gamma, beta), layernorm.forward(flat, p)[0], "y where all features are equal (is ε there?)", 1e-9)
    wide, _ = layernorm.forward(x, p, 1.0)
    close(answer(x, gamma, beta, 1.0), wide, "y with eps=1 (ε is added to the variance, under the root)", 1e-9)


@exercise("(dxhat, xhat, rstd)", look="The gradient, line by line", level="hard")
def backward_through_norm(answer):
    """The gradient dx for x̂ = (x - μ)·rstd: dxhat and xhat (B, T, H), rstd (B, T, 1). All three roads."""
    rng = np.random.default_rng(1)
    x, dxhat = rng.standard_normal((2, 3, 5)) * 2 + 1, rng.standard_normal((2, 3, 5))
    p = {"weight": np.ones(5), "bias": np.zeros(5)}
    xhat, cache = layernorm.forward(x, p)
    expected = layernorm.backward(dxhat, cache, p, {})
    got = answer(dxhat, xhat, cache.rstd)
    if np.shape(got) == x.shape:
        direct = dxhat * cache.rstd
        expect(not np.allclose(got, direct), "only the direct road is there: μ and rstd depend on x too")
        expect(not np.allclose(got, direct - direct.mean(-1, keepdims=True)), "the road through rstd is missing")
        expect(not np.allclose(got, direct - xhat * (direct * xhat).mean(-1, keepdims=True)), "the road through μ is missing")
        sums = cache.rstd * (dxhat - dxhat.sum(-1, keepdims=True) - xhat * (dxhat * xhat).sum(-1, keepdims=True))
        expect(not np.allclose(got, sums), "the two corrections are means over H, not sums")
    close(got, expected, "dx", 1e-9)


@exercise("(x)", look="What float32 does to mean(x²) − mean(x)²", level="medium")
def steady_variance(answer):
    """The variance of each row of x (N, H), which is float32, in float32 throughout and right to 4 digits even where the mean
    is 10,000 times σ. Return (N,). (No np.var, no float64.)"""
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((50, 96)) + 10_000).astype(np.float32)
    got = answer(x)
    expect(getattr(got, "dtype", None) == np.float32, f"expected float32, got {getattr(got, 'dtype', type(got).__name__)}")
    expect(not (np.asarray(got) < 0).any(), "some variances are negative: two nearly equal numbers were subtracted")
    close(got, x.astype(np.float64).var(-1), "the variance", 1e-4)


@exercise("", look="What happens to gradients without it", level="medium")
def gradient_ratio(answer):
    """A linear layer (no bias) is followed by a layer norm. All its weights are made 4 times as large.
    By which factor is the gradient of these weights multiplied? (Think of rstd, or measure it.)"""
    rng = np.random.default_rng(3)
    x, w, u = rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), rng.standard_normal((3, 5))
    p = {"weight": np.ones(5), "bias": np.zeros(5)}

    def size(w):
        _, cache = layernorm.forward(x @ w.T, p)
        return np.linalg.norm(layernorm.backward(u, cache, p, {}).T @ x)

    expect(np.shape(answer) == (), "expected one number")
    expect(not np.isclose(answer, size(w) / size(4 * w), rtol=1e-6), "this is the factor the other way round")
    close(answer, size(4 * w) / size(w), "the factor", 1e-6)


@exercise("(dy, x, gamma, eps=1e-12)", look="The gradient, line by line", level="hard")
def rms_norm_backward(answer):
    """A relative, used in many later models, leaves the mean alone: y = γ·x/√(mean(x²) + ε), x (N, H), gamma (H,).
    Return (dx, dgamma)."""
    rng = np.random.default_rng(4)
    x, dy, gamma = rng.standard_normal((3, 5)) + 1, rng.standard_normal((3, 5)), rng.uniform(0.5, 2, 5)

    def loss(x, gamma, eps=1e-12):
        return (dy * (gamma * x * ((x * x).mean(-1, keepdims=True) + eps) ** -0.5)).sum()

    def measured(values, of):
        found = np.zeros_like(values)
        for i in np.ndindex(values.shape):
            moved = values.astype(complex)
            moved[i] += 1e-30j
            found[i] = of(moved).imag / 1e-30
        return found

    got = answer(dy, x, gamma)
    expect(isinstance(got, tuple) and len(got) == 2, "return two arrays: dx, dgamma")
    expected = measured(x, lambda x: loss(x, gamma))
    if np.shape(got[0]) == x.shape:
        rstd = ((x * x).mean(-1, keepdims=True) + 1e-12) ** -0.5
        expect(not np.allclose(got[0], dy * gamma * rstd), "dx: only the direct road is there; the root depends on x too")
        with_mean = expected - (dy * gamma).mean(-1, keepdims=True) * rstd
        expect(not np.allclose(got[0], with_mean), "dx: there is no mean here, so nothing is subtracted for it")
    close(got[0], expected, "dx", 1e-9)
    close(got[1], measured(gamma, lambda gamma: loss(x, gamma)), "dgamma", 1e-9)
    close(answer(dy, x, gamma, 0.5)[0], measured(x, lambda x: loss(x, gamma, 0.5)), "dx with eps=0.5", 1e-9)
