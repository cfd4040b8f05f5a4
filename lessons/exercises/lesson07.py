"""Exercises of lesson 7: GELU in both forms, and a cousin."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.layers import gelu as library


def _numbers(seed: int, *shape: int) -> np.ndarray:
    return 2 * np.random.default_rng(seed).standard_normal(shape)


@exercise("(x)", look="By hand: plain loops", level="easy")
def gelu(answer):
    """GELU of an array of any shape in its exact form, with erf (`math.erf` takes single numbers). Return y."""
    x = _numbers(0, 2, 3, 4)
    before = x.copy()
    got = answer(x)
    expect(np.array_equal(x, before), "x is changed after the call: write into a new array")
    if np.shape(got) == x.shape:
        expect(not np.allclose(got, library.forward(x, "gelu_new")[0], rtol=1e-9), "this is the tanh form, not the exact one")
        expect(not np.allclose(got, library.forward(x)[0] / x), "this is Φ(x), the share; multiply it by x")
        expect(not np.allclose(got, np.maximum(x, 0)), "this is ReLU")
    close(got, library.forward(x)[0], "y", 1e-12)


@exercise("(dy, x)", look="The gradient, and its form", level="medium")
def gelu_tanh_backward(answer):
    """The tanh form went forward. Return dx."""
    x, dy = _numbers(1, 3, 4), _numbers(2, 3, 4)
    got = answer(dy, x)
    _, cache = library.forward(x, "gelu_new")
    if np.shape(got) == x.shape:
        of_erf = library.backward(dy, library.forward(x)[1])
        expect(not np.allclose(got, of_erf, rtol=1e-9), "this is the gradient of the erf form")
        expect(not np.allclose(got, dy * cache.cdf), "the second term of the product rule is missing: x·Φ'(x)")
        expect(not np.allclose(got, library.backward(np.ones_like(dy), cache)), "multiply by what comes from upstream")
        slope = 2 * cache.cdf * (1 - cache.cdf) * np.sqrt(2 / np.pi)
        for inner in (1.0, 1 + 0.044715 * x * x):
            expect(not np.allclose(got, dy * (cache.cdf + x * slope * inner)),
                   "tanh(z) is differentiated, z itself is not, or not all of it")
    close(got, library.backward(dy, cache), "dx", 1e-12)


@exercise("", look="How far apart the two forms are", level="easy")
def largest_gap(answer):
    """The largest difference between the two forms of GELU for any x, as a positive number, to 3 digits."""
    x = np.linspace(-8, 8, 100_001)
    gap = float(np.abs(library.forward(x)[0] - library.forward(x, "gelu_new")[0]).max())
    expect(np.shape(answer) == (), "expected one number")
    phi = np.abs(library.forward(x)[1].cdf - library.forward(x, "gelu_new")[1].cdf).max()
    expect(not np.isclose(answer, phi, rtol=5e-3), "this is the difference of Φ; GELU is x·Φ")
    close(answer, gap, "the difference", 5e-3)


@exercise("", look="One picture", level="medium")
def lowest_place(answer):
    """The x at which GELU (exact form) is lowest, to 4 digits. There its gradient is zero."""
    expect(np.shape(answer) == (), "expected one number")
    slope = library.backward(np.ones(1), library.forward(np.array([float(answer)]))[1])[0]
    expect(float(answer) < 0, "GELU is lowest at a negative x")
    expect(float(answer) > -2, f"the gradient there is {slope:.1e}, flat but not the lowest place: look nearer to 0")
    expect(abs(slope) < 1e-4, f"the gradient at x = {float(answer):g} is {slope:.2e}; it should be zero")


@exercise("(dy, x)", look="The gradient, and its form", level="medium")
def sigmoid_form_backward(answer):
    """The same paper names a third form, coarser and cheaper: y = x·s(1.702·x) with s(z) = 1/(1 + exp(-z)). Return dx."""
    x, dy = _numbers(3, 2, 5), _numbers(4, 2, 5)

    def form(z, inner=1.702):
        return z / (1 + np.exp(-inner * z))

    got = answer(dy, x)
    s = 1 / (1 + np.exp(-1.702 * x))
    if np.shape(got) == x.shape:
        expect(not np.allclose(got, dy * s), "the second term of the product rule is missing")
        expect(not np.allclose(got, dy * (s + x * s * (1 - s))), "the inner derivative, 1.702, is missing")
        expect(not np.allclose(got, form(x + 1e-30j).imag / 1e-30), "multiply by what comes from upstream")
    close(got, dy * form(x + 1e-30j).imag / 1e-30, "dx", 1e-9)
