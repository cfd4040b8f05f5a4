"""Exercises of lesson 4: gradients, found and measured."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.layers import linear


@exercise("(f, x, h=1e-5)", look="How `check` knows: measuring a gradient", level="medium")
def numerical_gradient(answer):
    """The gradient of a function by central differences, in the shape of x.
    f: takes an array of x's shape and returns one number. x must be the same after the call as before."""
    rng = np.random.default_rng(0)
    x, a = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    before = x.copy()
    seen = []

    def f(x):
        expect(np.shape(x) == (2, 3), f"f was called with an array of shape {np.shape(x)}; it wants all of x, shape (2, 3)")
        seen.append(np.array(x))
        return float((a * np.sin(x)).sum())

    got = answer(f, x)
    expect(np.array_equal(x, before), "x is changed after the call: move a copy, or put the number back")
    off = np.linalg.norm(np.asarray(got, dtype=float) - a * np.cos(x)) if np.shape(got) == x.shape else 1.0
    expect(not 1e-7 < off < 1e-4, "the gradient is right to a few digits only: a step to one side errs by about h, "
                                  "steps to both sides by about h²")
    close(got, a * np.cos(x), "the gradient of Σ a·sin(x)", 1e-7)
    expect(len(seen) >= 12, f"f was called {len(seen)} times; two calls for each of 6 elements are needed")


@exercise("(dy, y)", look="Two layers, and a bend between them", level="easy")
def sigmoid_backward(answer):
    """y = 1/(1 + exp(-x)) went forward, and y was kept. Return dx. The derivative can be written with y alone."""
    rng = np.random.default_rng(1)
    x, dy = 2 * rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    y, kept = 1 / (1 + np.exp(-x)), None
    kept = y.copy()
    got = answer(dy, y)
    expect(np.array_equal(y, kept), "y is changed after the call: the cache must stay as it was")
    h = 1e-30
    expected = dy * (1 / (1 + np.exp(-(x + 1j * h)))).imag / h
    if np.shape(got) == x.shape and np.allclose(got, expected / dy):
        expect(False, "this is the derivative of y; multiply it by what comes from upstream")
    close(got, expected, "dx", 1e-9)


@exercise("(dy, x, weight)", look="The equation", level="medium")
def linear_backward(answer):
    """y = x·Wᵀ + b with x (B, T, in), weight (out, in), bias (out,), dy (B, T, out).
    Return (dx, dweight, dbias)."""
    rng = np.random.default_rng(2)
    x, dy, weight = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 5)), rng.standard_normal((5, 4))
    p, g = {"weight": weight, "bias": np.zeros(5)}, {"weight": np.zeros((5, 4)), "bias": np.zeros(5)}
    _, cache = linear.forward(x, p)
    expected = linear.backward(dy, cache, p, g)
    got = answer(dy, x, weight)
    expect(isinstance(got, tuple) and len(got) == 3, "return three arrays: dx, dweight, dbias")
    expect(np.shape(got[1]) != (4, 5), "dweight has the shape (in, out): the weight is stored (out, in)")
    expect(np.shape(got[2]) != (3, 5), "dbias still has the axis of the tokens: it is summed over B and T")
    for value, wanted, name in zip(got, (expected, g["weight"], g["bias"]), ("dx", "dweight", "dbias")):
        close(value, wanted, name, 1e-9)


@exercise("(f, x, direction)", look="A step without a subtraction", level="medium")
def directional_derivative(answer):
    """How fast f grows along a direction, by the complex step: the derivative of f(x + s·direction) by s, at s = 0.
    f takes an array, also a complex one, and returns one number. It must be called once only."""
    rng = np.random.default_rng(3)
    x, direction, a = (rng.standard_normal((2, 3)) for _ in range(3))
    calls = []

    def f(z):
        calls.append(np.iscomplexobj(z))
        return (a * np.exp(np.sin(z))).sum()

    got = answer(f, x, direction)
    expect(any(calls), "f never saw a complex number: move x by i·h·direction")
    expect(len(calls) == 1, f"f was called {len(calls)} times; one complex call is enough")
    expect(not np.iscomplexobj(got), "the answer is complex: the derivative is the imaginary part divided by h")
    close(got, (a * np.exp(np.sin(x)) * np.cos(x) * direction).sum(), "the derivative", 1e-13)


@exercise("(dy, x, weight)", look="Why `+=`", level="hard")
def twice_backward(answer):
    """One weight W (H, H) is used twice: z = tanh(x·Wᵀ), y = z·Wᵀ, with x and y (N, H).
    Return (dx, dweight)."""
    rng = np.random.default_rng(4)
    x, dy, weight = rng.standard_normal((2, 3)), rng.standard_normal((2, 3)), rng.standard_normal((3, 3))

    def forward(x, weight):
        return (dy * (np.tanh(x @ weight.T) @ weight.T)).sum()

    def measured(values, of):
        found = np.zeros_like(values)
        for i in np.ndindex(values.shape):
            moved = values.astype(complex)
            moved[i] += 1e-30j
            found[i] = of(moved).imag / 1e-30
        return found

    got = answer(dy, x, weight)
    expect(isinstance(got, tuple) and len(got) == 2, "return two arrays: dx, dweight")
    close(got[0], measured(x, lambda x: forward(x, weight)), "dx", 1e-9)
    whole = measured(weight, lambda w: forward(x, w))
    second_use = measured(weight, lambda w: (dy * (np.tanh(x @ weight.T) @ w.T)).sum())
    if np.shape(got[1]) == (3, 3):
        for part, which in ((second_use, "second"), (whole - second_use, "first")):
            expect(not np.allclose(got[1], part), f"dweight holds the gradient of the {which} use only: both uses add up")
    close(got[1], whole, "dweight", 1e-9)
