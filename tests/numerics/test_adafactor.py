"""Adafactor's step against the paper's algorithms 4 and 5, written down in a few lines of float64."""

import numpy as np
import pytest

from minibert.numerics import adafactor
from minibert.numerics.adafactor import Adafactor

SHAPES = {"a matrix": (7, 4), "a vector": (9,), "a filter": (3, 5, 2)}
rng = np.random.default_rng(0)


def root(x):
    return np.sqrt((x**2).mean())


def reference(w, gradients, lr, *, scaled=True, wd=0.0, eps1=1e-30, eps2=1e-3, d=1.0):
    """Some steps of one tensor."""
    rows = columns = squares = 0.0
    for t, g in enumerate(gradients, start=1):
        beta = 1 - t**-0.8
        shape, g = g.shape, g.reshape(len(g), -1) if g.ndim > 1 else g
        if g.ndim > 1:
            rows = beta * rows + (1 - beta) * (g**2 + eps1).mean(-1)
            columns = beta * columns + (1 - beta) * (g**2 + eps1).mean(-2)
            v = rows[..., :, None] * columns[..., None, :] / rows.mean(-1)[..., None, None]
        else:
            squares = v = beta * squares + (1 - beta) * (g**2 + eps1)
        u = g / np.sqrt(v)
        u = u / max(1, root(u) / d)
        alpha = lr * max(eps2, root(w)) if scaled else lr
        w = w - alpha * (u.reshape(shape) + wd * w)
    return w


def steps(w, gradients, lr, constants, decay=False, piece=5):
    """Some steps of one tensor, piece by piece."""
    p = w.flatten()
    means = [np.zeros(its["x"], w.dtype) for its in adafactor.kept({"x": w.shape}).values() if its]
    starts = range(0, len(p), piece)
    for t, g in enumerate(gradients, start=1):
        pieces = [g.ravel()[start:start + piece].copy() for start in starts]
        found = [adafactor.sums(one, start, [len(mean) for mean in means]) for start, one in zip(starts, pieces)]
        factors = adafactor.follow(means, [sum(column) for column in zip(*found)], t, constants)
        u2 = sum(adafactor.direct(one, start, factors) for start, one in zip(starts, pieces))
        alpha, factor = adafactor.rates(p @ p, u2, len(p), lr, constants, np)
        if decay:
            p *= 1 - alpha * constants.weight_decay
        p -= factor * np.concatenate(pieces)
    return p.reshape(w.shape)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_five_steps_are_those_of_the_paper(shape, scaled, wd):
    w, gradients = rng.standard_normal(shape), rng.standard_normal((5, *shape)) * 10.0 ** rng.integers(-3, 3, (5, *shape))
    got = steps(w, gradients, 0.03, Adafactor(scaled=scaled, weight_decay=wd), decay=True)
    np.testing.assert_allclose(got, reference(w, gradients, 0.03, scaled=scaled, wd=wd), rtol=1e-12, atol=1e-15)


def test_the_first_step_of_a_matrix_of_rank_one_moves_every_number_alike():
    w = rng.standard_normal((6, 5))
    g = np.outer(rng.standard_normal(6), rng.standard_normal(5))
    moved = w - steps(w, g[None], 0.01, Adafactor(scaled=False))
    np.testing.assert_allclose(np.abs(moved), 0.01, rtol=1e-10)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_no_step_is_longer_than_the_rate_however_large_the_gradient(size):
    w, gradients = rng.standard_normal((8, 8)), np.array([np.ones((8, 8)), size * rng.standard_normal((8, 8))])
    before = steps(w, gradients[:1], 0.01, Adafactor())
    assert root(steps(w, gradients, 0.01, Adafactor()) - before) <= 0.01 * root(before) * (1 + 1e-12)


def test_a_tensor_of_zeros_moves_all_the_same_and_a_gradient_of_zeros_moves_nothing():
    moved = steps(np.zeros(4), rng.standard_normal((1, 4)), 0.01, Adafactor())
    assert root(moved) == pytest.approx(0.01 * 1e-3)
    w = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(steps(w, np.zeros((2, 3, 4)), 0.01, Adafactor()), w)
    np.testing.assert_array_equal(steps(w.astype(np.float32), np.zeros((2, 3, 4), np.float32), 0.01, Adafactor()),
                                  w.astype(np.float32))


def test_a_matrix_keeps_a_number_for_each_row_and_each_column():
    assert adafactor.kept({"w": (7, 4), "b": (7,), "conv": (3, 5, 2)}) == {
        "rows": {"w": (7,), "conv": (3,)}, "columns": {"w": (4,), "conv": (10,)}, "squares": {"b": (7,)}}
